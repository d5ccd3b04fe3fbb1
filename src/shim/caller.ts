import type { Ctx } from "../lib/ctx.ts";
import { failedPrecondition } from "../lib/faults.ts";
import { checkIdentifier } from "../lib/identifiers.ts";

/** The namespace that a call is for. Errors: failedPrecondition (none was sent), invalidArgument (malformed). */
export function namespaceOf(ctx: Ctx): string {
  if (ctx.namespace === undefined || ctx.namespace === "") throw failedPrecondition("namespace is required");
  return checkIdentifier(ctx.namespace);
}
