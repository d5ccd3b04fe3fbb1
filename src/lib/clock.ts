import { wallClock } from "../sys/index.ts";
import { Instant } from "./instant.ts";

/** Where times come from; tests pass their own. */
export type Clock = () => Instant;

/** The system's clock. */
export const systemClock: Clock = () => Instant.of(wallClock());

/** The later of the two: an update is never older than what it updates, even when the clock was set back. */
export function notBefore(time: Instant, earliest: Instant): Instant {
  return time.isBefore(earliest) ? earliest : time;
}
