import { type Fd, type FdWatcher, isErrno, type Kernel, pollEvents } from "../../sys/index.ts";

export interface PumpOptions {
  readonly kernel: Pick<Kernel, "read">;
  readonly watcher: FdWatcher;
  /** Takes each piece before the next is read; borrowed until it returns. What it throws ends the pump. */
  readonly write: (bytes: Uint8Array) => void;
}

/** Copies what comes out of a FIFO. */
export interface OutputPump extends Disposable {
  /** Settles at the end of the output, or with what `write` threw. */
  readonly done: Promise<void>;
  /**
   * Call when the process is gone: settles at the end of the output, or once nothing came for `quietMs`, since a child
   * that outlived the process may hold the FIFO open for ever.
   */
  drain(quietMs: number): Promise<void>;
}

const bufferBytes = 256 * 1024;
/** Reads a turn before others get theirs. */
const readsPerTurn = 32;

/** Starts copying. The descriptor stays the caller's; it must be open until the pump is disposed. */
export function pumpOutput(fd: Fd, options: PumpOptions): OutputPump {
  const buffer = new Uint8Array(bufferBytes);
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let lastByteAt = 0;
  const onReady = (events: number): void => {
    try {
      const state = readSome(fd, buffer, options);
      if (state !== "empty") lastByteAt = performance.now();
      if (state === "ended" || (state === "empty" && (events & pollEvents.readable) === 0)) finish();
    } catch (error) {
      watch[Symbol.dispose]();
      reject(error as Error);
    }
  };
  const finish = (): void => {
    watch[Symbol.dispose]();
    resolve();
  };
  const watch = options.watcher.watch(fd, pollEvents.readable, onReady);
  // Nobody may be waiting yet when it fails; whoever asks for `done` or `drain` hears of it.
  promise.catch(() => {});
  return {
    done: promise,
    drain: (quietMs) => {
      lastByteAt = performance.now();
      const timer = setInterval(() => {
        if (performance.now() - lastByteAt >= quietMs) finish();
      }, quietMs / 4);
      return promise.finally(() => clearInterval(timer));
    },
    [Symbol.dispose]: () => watch[Symbol.dispose](),
  };
}

function readSome(fd: Fd, buffer: Uint8Array, options: PumpOptions): "more" | "empty" | "ended" {
  for (let turn = 0; turn < readsPerTurn; turn++) {
    let count: number;
    try {
      count = options.kernel.read(fd, buffer);
    } catch (error) {
      if (isErrno(error, "EAGAIN")) return turn === 0 ? "empty" : "more";
      throw error;
    }
    if (count === 0) return "ended";
    options.write(buffer.subarray(0, count));
  }
  return "more";
}
