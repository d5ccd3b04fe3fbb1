/**
 * Remembers which hosts did not answer, so that a dead mirror costs one time-out and not one for each blob.
 * Shape: keys are `scheme://authority`. Meant to be shared by all resolvers of a process.
 */
export interface HostHealth {
  /** Whether the host is worth asking: it did not fail lately, or it is time for one caller to try it again. */
  admits(key: string): boolean;
  succeeded(key: string): void;
  failed(key: string): void;
  /** Runs a dial once for all who ask at the same time, and not at all right after the host has answered. */
  reach(key: string, dial: () => Promise<void>): Promise<void>;
  /** Every host is worth asking again. */
  forget(): void;
}

export interface HostHealthOptions {
  readonly now?: (() => number) | undefined;
}

interface Record {
  failures: number;
  /** Nobody asks before then. */
  closedUntil: number;
  answeredAt: number;
  dialing: Promise<void> | undefined;
}

const firstPauseMs = 30_000;
const longestPauseMs = 300_000;
/** How long an answer says that a host can be reached. */
const answerHoldsMs = 10_000;
/** More hosts than this are not remembered: the oldest goes. */
const maxHosts = 1024;

export function createHostHealth(options: HostHealthOptions = {}): HostHealth {
  const now = options.now ?? (() => performance.now());
  const hosts = new Map<string, Record>();
  const recordOf = (key: string): Record => {
    let record = hosts.get(key);
    if (record === undefined) {
      const [oldest] = hosts.keys();
      if (hosts.size >= maxHosts && oldest !== undefined) hosts.delete(oldest);
      record = { failures: 0, closedUntil: 0, answeredAt: Number.NEGATIVE_INFINITY, dialing: undefined };
      hosts.set(key, record);
    }
    return record;
  };
  const failed = (key: string): void => {
    const record = recordOf(key);
    // Those who asked at the same time tell of one and the same failure.
    if (record.closedUntil > now() && record.failures > 0) return;
    record.failures++;
    record.closedUntil = now() + Math.min(firstPauseMs * 2 ** (record.failures - 1), longestPauseMs);
  };
  return {
    failed,
    forget: () => hosts.clear(),
    admits: (key) => {
      const record = hosts.get(key);
      if (record === undefined || record.failures === 0) return true;
      if (record.closedUntil > now()) return false;
      // One tries; the others wait for what comes of it, as if it had failed again.
      record.closedUntil = now() + firstPauseMs;
      return true;
    },
    succeeded: (key) => {
      const record = recordOf(key);
      record.failures = 0;
      record.closedUntil = 0;
      record.answeredAt = now();
    },
    reach: async (key, dial) => {
      const record = recordOf(key);
      if (now() - record.answeredAt < answerHoldsMs) return;
      record.dialing ??= dial().finally(() => {
        record.dialing = undefined;
      });
      await record.dialing;
    },
  };
}
