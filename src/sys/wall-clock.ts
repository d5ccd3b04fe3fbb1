import { check, lazyLibrary } from "./libc.ts";

const libc = lazyLibrary({ clock_gettime: { args: ["i32", "ptr"], returns: "i32" } });

/** CLOCK_REALTIME. Source: linux/time.h. */
const realtime = 0;

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
