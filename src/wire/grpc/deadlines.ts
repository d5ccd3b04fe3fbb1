/** Something that ends at a time. */
export interface Expiring {
  expire(): void;
}

/** Where something waits for its time; given back to `remove`. */
export interface Slot {
  readonly tick: number;
  readonly members: Set<Expiring>;
}

/** Deadlines are kept to this precision, never early. */
const tickMs = 4;

/**
 * The deadlines of all calls on one timer: those of the same few milliseconds share a slot, and a call that ends in
 * time leaves nothing behind.
 */
export class Deadlines implements Disposable {
  readonly #slots = new Map<number, Slot>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  /** `at` is on performance.now's clock. */
  add(expiring: Expiring, at: number): Slot {
    const tick = Math.ceil(at / tickMs);
    let slot = this.#slots.get(tick);
    if (slot === undefined) {
      slot = { tick, members: new Set() };
      this.#slots.set(tick, slot);
    }
    slot.members.add(expiring);
    if (tick < this.#armedFor) this.#arm(tick);
    return slot;
  }

  remove(expiring: Expiring, slot: Slot): void {
    slot.members.delete(expiring);
    if (slot.members.size === 0) this.#slots.delete(slot.tick);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#slots.clear();
  }

  #arm(tick: number): void {
    clearTimeout(this.#timer);
    this.#armedFor = tick;
    // setTimeout takes 2^31-1 ms at most; waking up early does no harm.
    const delayMs = Math.min(Math.max(tick * tickMs - performance.now(), 0), 3_600_000);
    this.#timer = setTimeout(() => this.#fire(), Math.ceil(delayMs));
    this.#timer.unref();
  }

  #fire(): void {
    const now = performance.now();
    let next = Number.POSITIVE_INFINITY;
    for (const [tick, slot] of this.#slots) {
      if (tick * tickMs <= now) {
        this.#slots.delete(tick);
        for (const expiring of slot.members) expiring.expire();
      } else if (tick < next) {
        next = tick;
      }
    }
    this.#armedFor = Number.POSITIVE_INFINITY;
    if (next < Number.POSITIVE_INFINITY) this.#arm(next);
  }
}
