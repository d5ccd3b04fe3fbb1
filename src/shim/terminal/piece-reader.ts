import { type Fd, isErrno, type Kernel } from "../../sys/index.ts";

export interface PieceReaderOptions {
  readonly kernel: Pick<Kernel, "readNow" | "yieldProcessor">;
  readonly from: Fd;
  /** Pieces that follow one another are read together; else each is given as it comes. */
  readonly gathers: boolean;
  /** In milliseconds. */
  readonly now?: (() => number) | undefined;
}

const bufferBytes = 64 << 10;
/**
 * A terminal gives 4 KiB at most for a read, of output that comes fast nearly as much each time. What somebody types or watches
 * comes in less than this, and is never kept waiting.
 */
const wholePieceBytes = 2048;
/** The longest that the piece after a whole one is waited for. */
const waitMs = 0.2;
/** The longest that a turn of the event loop waits for pieces, all together. */
const turnMs = 0.6;

/**
 * Reads what a descriptor has: of a terminal's output, pieces of 4 KiB that would each cost a way through the event loop, a write
 * and a wake-up of the reader.
 */
export class PieceReader {
  readonly #options: PieceReaderOptions;
  readonly #now: () => number;
  readonly #buffer = new Uint8Array(bufferBytes);
  #waitsUntil = 0;

  constructor(options: PieceReaderOptions) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
  }

  /** A turn of the event loop begins: from now on some time may be spent on waiting. */
  begin(): void {
    if (this.#options.gathers) this.#waitsUntil = this.#now() + turnMs;
  }

  /** What is there, until the next call; undefined when nothing is, and empty at the end. */
  read(): Uint8Array | undefined {
    let filled = 0;
    let last = wholePieceBytes;
    while (last >= wholePieceBytes && filled + wholePieceBytes <= bufferBytes) {
      const count = filled === 0 ? this.#take(0) : this.#await(filled);
      // The end is found again by the next read.
      if (count === undefined || count === 0)
        return filled > 0 || count === 0 ? this.#buffer.subarray(0, filled) : undefined;
      filled += count;
      last = this.#options.gathers ? count : 0;
    }
    return this.#buffer.subarray(0, filled);
  }

  /** Waits for the piece after a whole one, letting its writer run. */
  #await(at: number): number | undefined {
    const count = this.#take(at);
    if (count !== undefined) return count;
    const until = Math.min(this.#now() + waitMs, this.#waitsUntil);
    while (this.#now() < until) {
      this.#options.kernel.yieldProcessor();
      const late = this.#take(at);
      if (late !== undefined) return late;
    }
    return undefined;
  }

  #take(at: number): number | undefined {
    const { kernel, from } = this.#options;
    try {
      return kernel.readNow(from, at === 0 ? this.#buffer : this.#buffer.subarray(at));
    } catch (error) {
      // EIO is how a terminal's master says that its last user has closed it.
      if (isErrno(error, "EIO", "EBADF")) return 0;
      throw error;
    }
  }
}
