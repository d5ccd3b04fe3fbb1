import { closeSync, openSync, writeSync } from "node:fs";
import { LogRecorder, type LogTarget } from "../../lib/output-log/index.ts";
import type { Kernel } from "../../sys/index.ts";

export interface OutputTeeOptions {
  readonly kernel: Pick<Kernel, "punchHole">;
  readonly target: LogTarget;
  /** Called once, when the log can be kept no further; the output goes on. */
  readonly onFailure: (error: Error) => void;
}

export type StreamName = "stdout" | "stderr";

/** Where what a container prints goes besides. */
export interface OutputSink extends Disposable {
  append(bytes: Uint8Array, stream: StreamName): void;
}

/** Times are noted this often at most. */
const noteEveryMs = 20;
/**
 * A log beside a pipe costs a second copy of every byte. What comes faster than this for longer is left out, with a line that
 * says so: it is a stream of data and no log (docs/adr/0009).
 */
const [burstBytes, bytesPerMs] = [64 * 1024 ** 2, (16 * 1024 ** 2) / 1000];
/** After a gap so much is saved up before the log goes on, so that it is not made of gaps. */
const gapMs = 500;

/**
 * Keeps what an attached container prints, beside showing it.
 * Shape: up to 16 MiB a second, and 64 MiB at once, it is complete; of more than that, beginning and end.
 * Errors: none; a failure ends the log and not the output.
 */
export class OutputTee implements Disposable {
  readonly #options: OutputTeeOptions;
  #fd: number | undefined;
  #recorder: LogRecorder | undefined;
  #notedAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #gapTimer: ReturnType<typeof setTimeout> | undefined;
  #credit = burstBytes;
  #creditedAt = performance.now();
  #leftOut = 0;
  /** The newest of what was left out: how a container ended is what one wants to see. */
  #last: Uint8Array = new Uint8Array(0);

  /** Opens the log; its folder is there. */
  constructor(options: OutputTeeOptions) {
    this.#options = options;
    const { kernel, target } = options;
    this.#guard(() => {
      this.#fd = openSync(target.path, "a", 0o600);
      const punchHole = (fd: number, offset: number, length: number): void => kernel.punchHole(fd, offset, length);
      this.#recorder = new LogRecorder({ target, punchHole });
    });
  }

  append(bytes: Uint8Array): void {
    this.#guard(() => {
      if (!this.#affords(bytes)) return;
      this.#closeGap();
      this.#write(bytes);
      if (performance.now() - this.#notedAt >= noteEveryMs) this.#note();
      else this.#timer ??= setTimeout(() => this.#guard(() => this.#note()), noteEveryMs);
    });
  }

  [Symbol.dispose](): void {
    this.#guard(() => {
      this.#closeGap();
      this.#note();
    });
    this.#close();
  }

  /** Takes the bytes' price from what has been saved up; false when that is not enough, and they are left out. */
  #affords(bytes: Uint8Array): boolean {
    const now = performance.now();
    this.#credit = Math.min(burstBytes, this.#credit + (now - this.#creditedAt) * bytesPerMs);
    this.#creditedAt = now;
    const least = this.#leftOut === 0 ? bytes.length : Math.max(bytes.length, gapMs * bytesPerMs);
    if (this.#credit >= least) {
      this.#credit -= bytes.length;
      return true;
    }
    this.#leftOut += bytes.length;
    // A container that falls silent now would have its newest words in no log.
    this.#gapTimer ??= setTimeout(() => this.#guard(() => this.#closeGap()), gapMs);
    if (this.#last.buffer.byteLength < bytes.length) this.#last = new Uint8Array(bytes.length);
    this.#last = new Uint8Array(this.#last.buffer, 0, bytes.length);
    this.#last.set(bytes);
    return false;
  }

  #closeGap(): void {
    clearTimeout(this.#gapTimer);
    this.#gapTimer = undefined;
    if (this.#leftOut === 0) return;
    const missing = this.#leftOut - this.#last.length;
    this.#leftOut = 0;
    if (missing > 0) this.#write(Buffer.from(`\n[lighter: ${missing} bytes came too fast to be kept]\n`));
    this.#write(this.#last);
    this.#note();
  }

  #write(bytes: Uint8Array): void {
    if (this.#fd === undefined) return;
    for (let rest = bytes; rest.length > 0; ) rest = rest.subarray(writeSync(this.#fd, rest));
  }

  #note(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#notedAt = performance.now();
    this.#recorder?.note(Date.now());
  }

  #close(): void {
    clearTimeout(this.#timer);
    clearTimeout(this.#gapTimer);
    this.#timer = undefined;
    this.#gapTimer = undefined;
    this.#recorder = undefined;
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #guard(action: () => void): void {
    try {
      action();
    } catch (error) {
      this.#close();
      this.#options.onFailure(error as Error);
    }
  }
}
