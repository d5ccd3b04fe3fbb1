import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";

/** Where times come from; tests pass their own. */
export type Clock = () => Date;

/** The system's clock. */
export const systemClock: Clock = () => new Date();

/** A date as the API carries it. */
export function timestampOf(date: Date): Timestamp {
  const ms = date.getTime();
  const seconds = Math.floor(ms / 1000);
  return create(TimestampSchema, { seconds: BigInt(seconds), nanos: (ms - seconds * 1000) * 1_000_000 });
}

/** The later of the two: an update is never older than what it updates, even when the clock was set back. */
export function notBefore(date: Date, earliest: Date): Date {
  return date < earliest ? earliest : date;
}
