import { type HeapItem, SlotHeap } from "./slot-heap.ts";

/** Something that ends at a time. */
export interface Expiring {
  expire(): void;
}

/** Where something waits for its time; given back to `remove`. */
export interface Slot extends HeapItem {
  /** Each with its time, to the fraction of a millisecond. */
  readonly members: Map<Expiring, number>;
}

/** Deadlines are kept to this precision, never early. */
const tickMs = 4;

/**
 * The deadlines of all calls on one timer: those of the same few milliseconds share a slot, and a call that ends in
 * time leaves nothing behind. They fire in the order of their times, whatever the order in which they were added.
 */
export class Deadlines implements Disposable {
  readonly #slots = new Map<number, Slot>();
  readonly #heap = new SlotHeap<Slot>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #armedFor = Number.POSITIVE_INFINITY;

  /** `at` is on performance.now's clock. */
  add(expiring: Expiring, at: number): Slot {
    const tick = Math.ceil(at / tickMs);
    let slot = this.#slots.get(tick);
    if (slot === undefined) {
      slot = { tick, members: new Map(), place: 0 };
      this.#slots.set(tick, slot);
      this.#heap.add(slot);
    }
    slot.members.set(expiring, at);
    if (tick < this.#armedFor) this.#arm(tick);
    return slot;
  }

  remove(expiring: Expiring, slot: Slot): void {
    slot.members.delete(expiring);
    // A slot whose time has come is not there any more.
    if (slot.members.size === 0 && this.#slots.get(slot.tick) === slot) this.#drop(slot);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#slots.clear();
    this.#heap.clear();
  }

  #drop(slot: Slot): void {
    this.#slots.delete(slot.tick);
    this.#heap.remove(slot);
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
    const due = this.#takeDue(performance.now());
    // First, so that one that fails does not stop the clock for all that come later.
    this.#armedFor = Number.POSITIVE_INFINITY;
    if (this.#heap.top !== undefined) this.#arm(this.#heap.top.tick);
    for (const { slot, expiring } of due) if (slot.members.has(expiring)) expiring.expire();
  }

  /** What is due, in the order of time. */
  #takeDue(now: number): readonly { readonly slot: Slot; readonly expiring: Expiring; readonly at: number }[] {
    const due = [];
    for (let slot = this.#heap.top; slot !== undefined && slot.tick * tickMs <= now; slot = this.#heap.top) {
      this.#drop(slot);
      for (const [expiring, at] of slot.members) due.push({ slot, expiring, at });
    }
    return due.sort((a, b) => a.at - b.at);
  }
}
