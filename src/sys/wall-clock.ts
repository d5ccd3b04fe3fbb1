import { check, lazyLibrary } from "./libc.ts";

const libc = lazyLibrary({ clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });

/** CLOCK_REALTIME. Source: linux/time.h. */
const realtime = 0;
/** CLOCK_MONOTONIC. Source: linux/time.h. */
const monotonic = 1;

/**
 * The system's time as the kernel has it, in whole seconds since the epoch and the nanoseconds of the next one.
 * JUSTIFICATION: the runtime tells milliseconds, and the nanoseconds of a clock that nobody sets. SAFETY: a fixed-size
 * buffer that lives through the call. Effects: about a microsecond. Source: clock_gettime(2).
 */
export function wallClock(): { readonly seconds: number; readonly nanos: number } {
  const time = new BigInt64Array(2);
  check("clock_gettime", () => libc().clock_gettime(realtime, time));
  return { seconds: Number(time[0]), nanos: Number(time[1]) };
}

/**
 * Microseconds of the clock that nobody sets, as every process of the machine counts them.
 * JUSTIFICATION: the runtime counts from the start of its process. SAFETY, Effects, Source: as wallClock.
 */
export function monotonicMicroseconds(): bigint {
  const time = new BigInt64Array(2);
  check("clock_gettime", () => libc().clock_gettime(monotonic, time));
  return (time[0] as bigint) * 1_000_000n + (time[1] as bigint) / 1000n;
}
