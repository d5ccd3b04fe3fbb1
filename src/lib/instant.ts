import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { rfc3339 } from "./rfc3339.ts";

const nanosPerSecond = 1_000_000_000;
const nanosPerMs = 1_000_000;

/**
 * A moment to the nanosecond, as containerd keeps them.
 * Shape: `seconds` since the epoch, rounded down, and `nanos` from 0 to 999 999 999 on top of them.
 */
export class Instant {
  readonly seconds: number;
  readonly nanos: number;

  private constructor(seconds: number, nanos: number) {
    this.seconds = seconds;
    this.nanos = nanos;
  }

  /** Shape: nanoseconds beyond a second, or below none, are carried over. */
  static of({ seconds, nanos }: { readonly seconds: number | bigint; readonly nanos: number }): Instant {
    const whole = Math.floor(nanos / nanosPerSecond);
    return new Instant(Number(seconds) + whole, nanos - whole * nanosPerSecond);
  }

  static ofMs(ms: number): Instant {
    const seconds = Math.floor(ms / 1000);
    return new Instant(seconds, Math.floor((ms - seconds * 1000) * nanosPerMs));
  }

  /** From nanoseconds since the epoch: how rows hold it. */
  static ofNanos(nanos: bigint): Instant {
    const second = BigInt(nanosPerSecond);
    return Instant.of({ seconds: nanos / second, nanos: Number(nanos % second) });
  }

  /** Reads RFC 3339; undefined when it is anything else. Shape: digits beyond nanoseconds are dropped, as by Go. */
  static parse(text: string): Instant | undefined {
    const match = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d+))?(Z|[+-]\d\d:\d\d)$/.exec(text);
    if (match === null) return undefined;
    const [, whole = "", fraction = "", zone = ""] = match;
    const ms = Date.parse(`${whole}${zone}`);
    return Number.isNaN(ms) ? undefined : new Instant(ms / 1000, Number(fraction.slice(0, 9).padEnd(9, "0")));
  }

  /** Milliseconds since the epoch, rounded down. */
  get ms(): number {
    return this.seconds * 1000 + Math.floor(this.nanos / nanosPerMs);
  }

  /** Shape: what fits a row's 64 bits: from the year 1678 to 2262. */
  toNanos(): bigint {
    return BigInt(this.seconds) * BigInt(nanosPerSecond) + BigInt(this.nanos);
  }

  /** As the API carries it. */
  toTimestamp(): Timestamp {
    return create(TimestampSchema, { seconds: BigInt(this.seconds), nanos: this.nanos });
  }

  /** RFC 3339 in UTC. */
  toString(): string {
    return rfc3339(this.seconds, this.nanos);
  }

  isBefore(other: Instant): boolean {
    return this.seconds === other.seconds ? this.nanos < other.nanos : this.seconds < other.seconds;
  }

  plusMs(ms: number): Instant {
    const { seconds, nanos } = Instant.ofMs(ms);
    return Instant.of({ seconds: this.seconds + seconds, nanos: this.nanos + nanos });
  }
}
