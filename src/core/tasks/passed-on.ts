import type { Event } from "../../gen/lighter/shim/v1/host_pb.ts";
import { Instant } from "../../lib/instant.ts";
import type { PassedOnEvents } from "../../plugin/index.ts";

/** More runs than this are not told of, lest the message be too long: then the events after them may come twice. */
const runsMax = 64;

/** Numbers that follow each other, both included. */
type Run = readonly [first: bigint, last: bigint];

/**
 * Which of the host's events this daemon and those before it have passed on, so that the one that takes its place passes on none of
 * them again, whether the host has heard of that or not. An event is known by its number, which the host's journal gives once, and
 * its time: a host that lost its journal counts anew, later.
 */
export class PassedOnLedger {
  readonly #before: Mark | undefined;
  #now: Mark | undefined;

  constructor(before: PassedOnEvents | undefined) {
    this.#before = before === undefined ? undefined : markOf(before);
  }

  /** Whether a predecessor has passed it on. */
  has(event: Pick<Event, "sequence" | "timestamp">): boolean {
    return this.#before !== undefined && isWithin(this.#before, event);
  }

  /** Notes an event that this daemon takes. */
  note(event: Pick<Event, "sequence" | "timestamp">): void {
    if (this.#now !== undefined && isWithin(this.#now, event)) return;
    const { sequence, timestamp } = event;
    const at = nanosecondsOf(timestamp);
    const isAnew = this.#now === undefined || sequence < this.#now.through;
    this.#now = { through: sequence, until: isAnew ? at : later(this.#now?.until ?? at, at), except: [] };
  }

  /** What a successor is told; `held` are the numbers, rising, of those that were taken and passed on to nobody. */
  handover(held: readonly bigint[]): PassedOnEvents | undefined {
    const mark = joined(this.#before, this.#now);
    if (mark === undefined) return undefined;
    const except = [...runsOf(held), ...mark.except];
    const left = except[runsMax];
    const through = left === undefined ? mark.through : left[0] - 1n;
    return {
      through: String(through),
      until: String(mark.until),
      except: except.slice(0, runsMax).map(([first, last]) => [String(first), String(last)] as const),
    };
  }
}

interface Mark {
  /** The highest number. */
  readonly through: bigint;
  /** The latest time, in nanoseconds. */
  readonly until: bigint;
  readonly except: readonly Run[];
}

function markOf({ through, until, except }: PassedOnEvents): Mark {
  const runs = except.map(([first, last]): Run => [BigInt(first), BigInt(last)]);
  return { through: BigInt(through), until: BigInt(until), except: runs };
}

/** Of what both passed on. One that was cut short in what the one before had left has come as far as that, but for the rest. */
function joined(before: Mark | undefined, now: Mark | undefined): Mark | undefined {
  if (before === undefined || now === undefined) return now ?? before;
  if (now.through >= before.through) return { ...now, until: later(now.until, before.until) };
  if (now.until > before.until) return now;
  const left = before.except.flatMap(([first, last]): Run[] => {
    const next = now.through + 1n;
    return last < next ? [] : [[first < next ? next : first, last]];
  });
  return { ...before, except: left };
}

function isWithin(
  { through, until, except }: Mark,
  { sequence, timestamp }: Pick<Event, "sequence" | "timestamp">,
): boolean {
  if (sequence > through || nanosecondsOf(timestamp) > until) return false;
  return !except.some(([first, last]) => first <= sequence && sequence <= last);
}

function runsOf(numbers: readonly bigint[]): readonly Run[] {
  const runs: [bigint, bigint][] = [];
  for (const number of numbers) {
    const last = runs.at(-1);
    if (last !== undefined && number === last[1] + 1n) last[1] = number;
    else runs.push([number, number]);
  }
  return runs;
}

function nanosecondsOf(timestamp: Event["timestamp"]): bigint {
  return timestamp === undefined ? 0n : Instant.of(timestamp).toNanos();
}

function later(a: bigint, b: bigint): bigint {
  return a > b ? a : b;
}
