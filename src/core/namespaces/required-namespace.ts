import type { Ctx } from "../../lib/ctx.ts";
import { failedPrecondition, wrapFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import type { Transaction } from "../metadata/index.ts";

/** The caller's namespace. Errors: failedPrecondition (none was sent), invalidArgument (malformed). */
export function requireNamespace(ctx: Ctx): string {
  if (ctx.namespace === undefined || ctx.namespace === "") throw failedPrecondition("namespace is required");
  try {
    return checkIdentifier(ctx.namespace);
  } catch (error) {
    throw wrapFault("namespace validation", error);
  }
}

/** Makes the namespace known that a room is writing into, in the room's own transaction. No event, as in containerd. */
export function ensureNamespace(tx: Transaction, name: string): void {
  tx.db.query("INSERT INTO namespaces (name, labels) VALUES (?, '{}') ON CONFLICT DO NOTHING").run(name);
}
