import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";

const oneDayMs = 86_400_000;

/** Runs an action under a lease that keeps what it makes until it is done; a lease of a process that died expires by itself. */
export async function withLease<T>(client: Client, action: (lease: string) => Promise<T>): Promise<T> {
  const lease = randomHex(16);
  const expires = new Date(Date.now() + oneDayMs).toISOString();
  await client.leases.create({ id: lease, labels: { "containerd.io/gc.expire": expires } });
  // A failure waits until what it leaves behind is collected; a success leaves nothing.
  let failed = true;
  try {
    const result = await action(lease);
    failed = false;
    return result;
  } finally {
    await client.leases.delete({ id: lease, sync: failed }).catch(() => {
      // It expires by itself.
    });
  }
}
