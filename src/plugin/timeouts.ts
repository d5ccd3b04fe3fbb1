import { formatDuration, parseDuration } from "../lib/duration.ts";
import { type ConfigSchema, isTable } from "./schema.ts";

/** The time limits of `[timeouts]`, as they are just now: whoever keeps one asks again before the next use. Milliseconds. */
export interface TimeLimits {
  /** How long a start waits for the metadata's lock; 0 for as long as it takes. */
  readonly boltOpenMs: number;
  /** How long one container's figures may take. */
  readonly shimStatsMs: number;
  /** How long each step of cleaning up after a shim or a task may take. */
  readonly shimCleanupMs: number;
  /** How long a shim, or the shim host, may take for its first answer. */
  readonly shimLoadMs: number;
  /** How long a shim may take to shut down. */
  readonly shimShutdownMs: number;
  /** How long a shim may take to tell a state. */
  readonly taskStateMs: number;
}

interface Limit {
  readonly key: string;
  readonly fallbackMs: number;
  /** It may change while the daemon runs. */
  readonly isLive: boolean;
}

/** Source: containerd core/runtime/v2/shim.go, core/metrics/metrics.go, plugins/services/tasks/local.go, plugins/metadata/plugin.go. */
const limits: Readonly<Record<keyof TimeLimits, Limit>> = {
  boltOpenMs: { key: "io.containerd.timeout.bolt.open", fallbackMs: 0, isLive: false },
  shimStatsMs: { key: "io.containerd.timeout.metrics.shimstats", fallbackMs: 2_000, isLive: true },
  shimCleanupMs: { key: "io.containerd.timeout.shim.cleanup", fallbackMs: 5_000, isLive: true },
  shimLoadMs: { key: "io.containerd.timeout.shim.load", fallbackMs: 5_000, isLive: true },
  shimShutdownMs: { key: "io.containerd.timeout.shim.shutdown", fallbackMs: 3_000, isLive: true },
  taskStateMs: { key: "io.containerd.timeout.task.state", fallbackMs: 2_000, isLive: true },
};

/** Of containerd's CRI, which is not served: known, and of no effect. */
const unserved = "io.containerd.timeout.cri.defercleanup";

const byKey: ReadonlyMap<string, Limit> = new Map(Object.values(limits).map((limit) => [limit.key, limit]));
const knownKeys: readonly string[] = [...byKey.keys(), unserved];

/** More than a timer takes. Source: setTimeout's 31 bits. */
const longestMs = 2 ** 31 - 1;

/** Whether a limit of that name may change while the daemon runs. */
export function isLiveTimeout(key: string): boolean {
  return byKey.get(key)?.isLive ?? false;
}

const example = '"10s"';

/**
 * `[timeouts]`: durations by containerd's keys, each known one with its default.
 * Shape: keys that nobody knows are told of and kept. A limit of no time at all, with which containerd fails every such call, is
 * refused; of `bolt.open`, 0 stands for no limit.
 */
export const timeoutsSchema: ConfigSchema<ReadonlyMap<string, number>> = {
  expects: "a table",
  encode: (value) => Object.fromEntries([...value].map(([key, ms]) => [key, formatDuration(ms)])),
  decode: (value, path, report) => {
    const found = new Map([...byKey.values()].map(({ key, fallbackMs }) => [key, fallbackMs]));
    if (value === undefined) return found;
    if (!isTable(value)) {
      report.invalid(path, "a table", value);
      return found;
    }
    for (const [key, item] of Object.entries(value)) {
      if (!knownKeys.includes(key)) report.unknown([...path, key], knownKeys);
      const ms = typeof item === "string" ? parseDuration(item) : undefined;
      if (ms === undefined)
        report.invalid([...path, key], "a duration with units (ns, us, ms, s, m, h)", item, example);
      else if (isTooShort(key, ms)) report.invalid([...path, key], "a duration of more than 0", item, example);
      else found.set(key, ms);
    }
    return found;
  },
};

function isTooShort(key: string, ms: number): boolean {
  const limit = byKey.get(key);
  if (limit === undefined) return false;
  return limit.fallbackMs === 0 ? ms < 0 : ms <= 0;
}

/** The limits of a daemon, which others may replace while it runs. */
export interface ReplaceableLimits extends TimeLimits {
  /** Puts those of a table that was read again in force, but for what waits for the next start. */
  replace(configured: ReadonlyMap<string, number>): void;
}

/** Makes the limits of a `[timeouts]` table; containerd's defaults without. */
export function createTimeLimits(configured: ReadonlyMap<string, number> = new Map()): ReplaceableLimits {
  let now = configured;
  const get = ({ key, fallbackMs }: Limit): number => Math.min(now.get(key) ?? fallbackMs, longestMs);
  return {
    get boltOpenMs() {
      return get(limits.boltOpenMs);
    },
    get shimStatsMs() {
      return get(limits.shimStatsMs);
    },
    get shimCleanupMs() {
      return get(limits.shimCleanupMs);
    },
    get shimLoadMs() {
      return get(limits.shimLoadMs);
    },
    get shimShutdownMs() {
      return get(limits.shimShutdownMs);
    },
    get taskStateMs() {
      return get(limits.taskStateMs);
    },
    replace: (next) => {
      now = next;
    },
  };
}

/** containerd's defaults. */
export const defaultTimeLimits: TimeLimits = createTimeLimits();

/** The limits with what is live as `next` has it, and all else as it was. */
export function withLiveTimeouts(
  now: ReadonlyMap<string, number>,
  next: ReadonlyMap<string, number>,
): ReadonlyMap<string, number> {
  const kept = [...now].filter(([key]) => !isLiveTimeout(key));
  return new Map([...[...next].filter(([key]) => isLiveTimeout(key)), ...kept]);
}
