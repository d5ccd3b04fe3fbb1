import type { Ctx } from "../lib/ctx.ts";
import { failedPrecondition, wrapFault } from "../lib/faults.ts";
import { checkIdentifier } from "../lib/identifiers.ts";

/** The caller's namespace. Errors: failedPrecondition (none was sent), invalidArgument (malformed). */
export function requireNamespace(ctx: Ctx): string {
  if (ctx.namespace === undefined || ctx.namespace === "") throw failedPrecondition("namespace is required");
  try {
    return checkIdentifier(ctx.namespace);
  } catch (error) {
    throw wrapFault("namespace validation", error);
  }
}
