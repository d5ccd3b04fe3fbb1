import { isFault, unavailable } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { pause } from "../../lib/pause.ts";
import type { Metadata, MetadataOptions } from "./metadata.ts";
import { isHeldByOther } from "./sqlite-faults.ts";
import { openMetadata } from "./sqlite-metadata.ts";

export interface LockPatience {
  /** How long the lock is waited for; 0 for as long as it takes. */
  readonly limitMs: number;
  /** Ends the waiting. */
  readonly stop?: AbortSignal | undefined;
  readonly log: Logger;
}

const tickMs = 25;
/** Whoever waits longer is told what for. */
const complainAfterMs = 1_000;

/**
 * Opens as openMetadata does, and waits for another process that holds the file: for a predecessor that is being killed, or a
 * person who looks into it. The loop goes on meanwhile. Errors: openMetadata's; unavailable (the lock was not free in time).
 * Source: bbolt's Options.Timeout, which containerd sets by `io.containerd.timeout.bolt.open`.
 */
export async function openMetadataPatiently(
  options: MetadataOptions,
  { limitMs, stop, log }: LockPatience,
): Promise<Metadata> {
  const begun = performance.now();
  let complained = false;
  for (;;) {
    try {
      return openMetadata({ ...options, busyMs: 0 });
    } catch (error) {
      if (!isHeldByOther(error)) throw error;
      const waitedMs = performance.now() - begun;
      if (limitMs > 0 && waitedMs >= limitMs) throw error;
      if (!complained && waitedMs >= complainAfterMs)
        log.warn("waiting for the metadata database, which another process holds", { path: options.path });
      complained ||= waitedMs >= complainAfterMs;
      await waited(error, tickMs, stop);
    }
  }
}

async function waited(error: unknown, ms: number, stop: AbortSignal | undefined): Promise<void> {
  if (stop === undefined) return Bun.sleep(ms);
  try {
    await pause(ms, stop);
  } catch (reason) {
    throw isFault(reason, "canceled") ? unavailable("the daemon stops", { cause: error }) : reason;
  }
}
