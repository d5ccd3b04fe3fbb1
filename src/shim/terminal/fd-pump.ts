import { type Fd, type FdWatch, type FdWatcher, isErrno, type Kernel, pollEvents, SysError } from "../../sys/index.ts";
import { PieceReader } from "./piece-reader.ts";

export interface FdPumpOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  /** Non-blocking, and watched by this pump alone. */
  readonly from: Fd;
  /** Non-blocking, and watched by this pump alone; undefined throws the bytes away. */
  readonly to: Fd | undefined;
  /** Reads pieces that follow one another together: for a terminal's output. */
  readonly gathers?: boolean;
  /** Called once, when `from` has ended, or `to` is gone. */
  readonly onEnd: () => void;
}

/** Reads in one turn before others get theirs. */
const readsPerTurn = 16;

/** Copies one descriptor's bytes to another, holding back when the receiver is slow. */
export class FdPump implements Disposable {
  readonly #options: FdPumpOptions;
  readonly #reader: PieceReader;
  #pending: Uint8Array | undefined;
  #reading: FdWatch | undefined;
  #writing: FdWatch | undefined;
  #ended = false;
  #draining = false;

  constructor(options: FdPumpOptions) {
    this.#options = options;
    this.#reader = new PieceReader({ kernel: options.kernel, from: options.from, gathers: options.gathers === true });
    this.#watchSource();
  }

  /** Takes what is there now and then ends, also when the source stays open. */
  drain(): void {
    this.#draining = true;
    if (this.#pending === undefined) this.#copy(Number.POSITIVE_INFINITY);
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#reading?.[Symbol.dispose]();
    this.#writing?.[Symbol.dispose]();
  }

  #watchSource(): void {
    this.#reading ??= this.#options.watcher.watch(this.#options.from, pollEvents.readable, () => {
      this.#copy(readsPerTurn);
    });
  }

  /** A source that hung up would wake for ever, so that a pump that waits for its receiver does not watch it. */
  #unwatchSource(): void {
    this.#reading?.[Symbol.dispose]();
    this.#reading = undefined;
  }

  #copy(reads: number): void {
    this.#reader.begin();
    for (let n = 0; n < reads && !this.#ended && this.#pending === undefined; n++) {
      let bytes = this.#reader.read();
      if (bytes === undefined && !this.#draining) return;
      if (isNothing(bytes) && this.#options.gathers === true) bytes = this.#reader.read();
      if (bytes === undefined || bytes.length === 0) return this.#end();
      this.#write(bytes);
    }
  }

  #write(bytes: Uint8Array): void {
    const { kernel, to } = this.#options;
    if (to === undefined) return;
    try {
      for (let at = 0; at < bytes.length; ) {
        this.#pending = bytes.subarray(at);
        at += kernel.write(to, this.#pending);
      }
      this.#pending = undefined;
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return this.#waitForReceiver(to);
      // Nobody takes bytes any more, or there is no room for them. It is no reason for whoever drains to fail.
      if (error instanceof SysError) return this.#end();
      throw error;
    }
  }

  #waitForReceiver(to: Fd): void {
    // The buffer is read into again only after the rest of it is written.
    this.#unwatchSource();
    this.#writing ??= this.#options.watcher.watch(to, pollEvents.writable, () => {
      this.#writing?.[Symbol.dispose]();
      this.#writing = undefined;
      const rest = this.#pending;
      this.#pending = undefined;
      if (rest !== undefined) this.#write(rest);
      if (this.#ended || this.#pending !== undefined) return;
      if (this.#draining) this.#copy(Number.POSITIVE_INFINITY);
      else this.#watchSource();
    });
  }

  #end(): void {
    if (this.#ended) return;
    this[Symbol.dispose]();
    this.#options.onEnd();
  }
}

/**
 * A terminal that has nothing, or whose last user has gone, is asked twice before that is believed. The kernel brings what was
 * written to the reader's side by a piece of work; a read waits for the one that runs, and not for the next, which that one asks
 * for when it finds no room that the reader makes at the same moment. The second read waits for it.
 * Source: linux drivers/tty/n_tty.c, n_tty_read and n_tty_receive_buf_common; kernel/workqueue.c, flush_work.
 */
const isNothing = (bytes: Uint8Array | undefined): boolean => bytes === undefined || bytes.length === 0;
