import type { Transaction } from "../metadata/index.ts";

/** Makes the namespace known that a room is writing into, in the room's own transaction. No event, as in containerd. */
export function ensureNamespace(tx: Transaction, name: string): void {
  tx.db.query("INSERT INTO namespaces (name, labels) VALUES (?, '{}') ON CONFLICT DO NOTHING").run(name);
}
