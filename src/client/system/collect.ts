import type { CollectGarbageResponse } from "../../gen/lighter/system/v1/system_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";

/**
 * Has the daemon collect garbage, and waits until it is gone.
 * Shape: what was collected; undefined from a daemon that cannot tell.
 */
export async function collectGarbage(client: Client): Promise<CollectGarbageResponse | undefined> {
  try {
    return await client.system.collectGarbage({});
  } catch (error) {
    if (!isFault(error, "notImplemented")) throw error;
  }
  // containerd has no call for it, but collects before it answers the removal of a lease that asks for that.
  const id = `collect-${randomHex(12)}`;
  await client.leases.create({ id });
  await client.leases.delete({ id, sync: true });
  return undefined;
}
