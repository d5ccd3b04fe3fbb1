import type { ConnectionLimits } from "./limits.ts";
import { ConnectionError, errorCode } from "./protocol.ts";
import type { Sender } from "./sender.ts";
import type { Stream } from "./stream.ts";

/**
 * What the peer may send. A stream's window grows again as its bytes are dealt with; the connection's at once, so that
 * one stream that stands still does not stop the others, until too many bytes lie about.
 */
export class ReceiveWindow {
  readonly #limits: ConnectionLimits;
  readonly #sender: Sender;
  #window: number;
  #owed = 0;
  #buffered = 0;

  constructor(limits: ConnectionLimits, sender: Sender) {
    this.#limits = limits;
    this.#sender = sender;
    this.#window = limits.connectionWindow;
  }

  /** Counts a DATA frame, padding and all. Errors: ConnectionError flowControlError. */
  received(bytes: number): void {
    this.#window -= bytes;
    if (this.#window < 0) throw new ConnectionError(errorCode.flowControlError, "the connection's window is exceeded");
    this.#owed += bytes;
  }

  /** Counts what stays with a stream. False when its window is exceeded. */
  kept(stream: Stream, bytes: number): boolean {
    stream.recvWindow -= bytes;
    stream.uncredited += bytes;
    this.#buffered += bytes;
    return stream.recvWindow >= 0;
  }

  /** Gives back bytes of a stream that were dealt with. */
  credit(stream: Stream, bytes: number): void {
    stream.uncredited -= bytes;
    this.#buffered -= bytes;
    stream.owed += bytes;
    if (stream.owed * 2 >= this.#limits.streamWindow && !stream.remoteClosed) {
      this.#sender.windowUpdate(stream.id, stream.owed);
      stream.recvWindow += stream.owed;
      stream.owed = 0;
    }
    this.update();
  }

  /** Forgets a stream that ended. */
  release(stream: Stream): void {
    this.#buffered -= stream.uncredited;
    stream.uncredited = 0;
    this.update();
  }

  update(): void {
    if (this.#owed * 2 < this.#limits.connectionWindow || this.#buffered > this.#limits.maxBufferedBytes) return;
    this.#sender.windowUpdate(0, this.#owed);
    this.#window += this.#owed;
    this.#owed = 0;
  }
}
