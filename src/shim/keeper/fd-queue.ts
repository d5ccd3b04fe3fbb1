import { closeQuietly, type Fd, isErrno, type Kernel } from "../../sys/index.ts";
import type { QueueEnds } from "./keeper-process.ts";

/** One message of the queue; it is sent anew whenever dead ones before it are taken out. */
export interface Slot {
  readonly isDead: boolean;
  encode(): { readonly bytes: Uint8Array; readonly fds: readonly Fd[] };
}

/** What the queue may hold; memory is used only for what it does hold. */
const queueBytes = 64 << 20;
/** What the kernel counts for one of our messages, at most: its bytes, its bookkeeping, rounded up. Source: skbuff.h, truesize. */
const messageBytes = 2048;
/** Dead messages are taken out in passing once there are this many and they are half of all. */
const tidyFrom = 32;
const tidySteps = 4;

/**
 * Messages with descriptors in a socket's queue, and what is known of each.
 * Shape: nothing is taken out before its copy is in again, so that a death at any line leaves a message at least once.
 * Effects: each call costs a few system calls, whatever the queue holds; nothing waits.
 */
export class FdQueue implements Disposable {
  readonly ends: QueueEnds;
  readonly #kernel: Kernel;
  readonly #capacity: number;
  /** The queue's mirror, oldest first. */
  readonly #slots: Slot[] = [];
  #dead = 0;
  /** The mirror does not match the queue until it is read. */
  #reading = false;

  /** While an earlier host's messages are read. */
  get isReading(): boolean {
    return this.#reading;
  }

  constructor(kernel: Kernel, ends: QueueEnds) {
    this.#kernel = kernel;
    this.ends = ends;
    this.#capacity = Math.floor(kernel.setSendBuffer(ends.in, queueBytes) / messageBytes);
  }

  /** How many messages there are, dead ones too. */
  get length(): number {
    return this.#slots.length;
  }

  /** Adds a message; false when there is no room. */
  add(slot: Slot): boolean {
    return this.#slots.length < this.#capacity && this.#push(slot);
  }

  /** One of the messages has died. */
  bury(): void {
    this.#dead++;
  }

  /** Takes a few dead messages out; living ones that are in the way go to the end. `wanted`: room is needed now. */
  tidy(wanted: boolean): void {
    if (this.#reading) return;
    for (let n = 0; n < tidySteps && this.#isUntidy(wanted); n++) {
      const head = this.#slots[0];
      if (head === undefined || (!head.isDead && !this.#push(head))) return;
      this.#discardHead();
      this.#slots.shift();
      if (head.isDead) this.#dead--;
    }
  }

  /** Takes everything out, to be called when nothing in it lives. */
  clear(): void {
    for (let left = this.#slots.length; left > 0; left--) this.#discardHead();
    this.#slots.length = 0;
    this.#dead = 0;
  }

  /** Turns the queue round once, showing each message of an earlier host, whose descriptors are the taker's, before it goes: it must be added again. */
  read(take: (bytes: Buffer, fds: readonly Fd[]) => void): boolean {
    const marker = Buffer.from(JSON.stringify({ marker: crypto.randomUUID() }));
    if (!this.#send(marker, [])) return false;
    this.#reading = true;
    for (;;) {
      const message = this.#kernel.receiveFds(this.ends.out, { peek: true });
      if (message === undefined || marker.equals(message.bytes)) break;
      take(Buffer.from(message.bytes), message.fds);
      this.#discardHead();
    }
    this.#discardHead();
    this.#reading = false;
    return true;
  }

  [Symbol.dispose](): void {
    closeQuietly(this.#kernel, this.ends.in);
    closeQuietly(this.#kernel, this.ends.out);
  }

  #isUntidy(wanted: boolean): boolean {
    if (wanted) return this.#dead > 0;
    return this.#dead >= tidyFrom && 2 * this.#dead >= this.#slots.length;
  }

  #push(slot: Slot): boolean {
    const { bytes, fds } = slot.encode();
    if (!this.#send(bytes, fds)) return false;
    this.#slots.push(slot);
    return true;
  }

  #send(bytes: Uint8Array, fds: readonly Fd[]): boolean {
    try {
      this.#kernel.sendFds(this.ends.in, bytes, fds);
      return true;
    } catch (error) {
      // ETOOMANYREFS: a user without rights over the whole machine has more in queues than it may have open.
      if (isErrno(error, "EAGAIN", "ETOOMANYREFS", "ENOBUFS", "ENOMEM")) return false;
      throw error;
    }
  }

  #discardHead(): void {
    for (const fd of this.#kernel.receiveFds(this.ends.out)?.fds ?? []) closeQuietly(this.#kernel, fd);
  }
}
