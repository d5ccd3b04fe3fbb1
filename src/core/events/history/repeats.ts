import type { Envelope } from "../../../gen/containerd/types/event_pb.ts";
import { Instant } from "../../../lib/instant.ts";
import type { Logger } from "../../../lib/log.ts";
import { encodeEvent, keyOf } from "./record.ts";
import type { Segments } from "./segments.ts";

/** After a start, so long an event may come that the life before has kept: longer than one is held for a client's return. */
const repeatsMs = 60_000;
/** So many of the newest events are remembered then: those that may come again are among them. */
const remembered = 1024;

export interface RepeatsOptions {
  readonly segments: Pick<Segments, "newestKeys">;
  readonly log: Logger;
  /** When this life began, in milliseconds since the epoch. */
  readonly startedMs: number;
}

/**
 * Tells events that are kept already: after a daemon's death a shim host brings again what it is not sure was taken, and what nobody took is
 * offered again to who comes back.
 * Shape: only an event from before the start can be one. So most lives read nothing for this.
 */
export class Repeats {
  readonly #options: RepeatsOptions;
  readonly #until: number = performance.now() + repeatsMs;
  readonly #startedSeconds: bigint;
  #known: Set<bigint> | undefined;

  constructor(options: RepeatsOptions) {
    this.#options = options;
    this.#startedSeconds = BigInt(Math.floor(options.startedMs / 1000));
  }

  /** Whether an event may be one: then `load` comes before `has`. */
  concerns({ timestamp }: Envelope): boolean {
    // Nearly always decided here: this is asked of every event.
    if (timestamp === undefined || timestamp.seconds > this.#startedSeconds) return false;
    if (Instant.of(timestamp).ms >= this.#options.startedMs) return false;
    if (performance.now() <= this.#until) return true;
    this.#known = undefined;
    return false;
  }

  get isLoaded(): boolean {
    return this.#known !== undefined;
  }

  /** Reads what the life before kept last. Never rejects: where it can't be read, an event may be kept twice. */
  async load(): Promise<void> {
    try {
      this.#known = await this.#options.segments.newestKeys(remembered);
    } catch (error) {
      this.#known = new Set();
      this.#options.log.warn("the newest events of the history can't be read", { error });
    }
  }

  /** Whether an event is kept already; from now on it is. */
  has(envelope: Envelope): boolean {
    const key = keyOf(encodeEvent(1, envelope));
    if (this.#known === undefined || this.#known.has(key)) return this.#known !== undefined;
    this.#known.add(key);
    return false;
  }
}
