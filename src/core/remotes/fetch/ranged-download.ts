import { type Ctx, withSignal } from "../../../lib/ctx.ts";
import type { Slots } from "../../../lib/slots.ts";
import type { BlobPart } from "./blob-request.ts";
import { RangeIgnored } from "./steady-download.ts";

export interface RangedDownloadOptions {
  readonly chunkBytes: number;
  /** How many ranges come in at once. */
  readonly maxRanges: number;
  /** Ranges beyond the first take free places only, since those who wait for this one's bytes may hold the others. */
  readonly slots: Slots | undefined;
  readonly fetch: (ctx: Ctx, part: BlobPart, needsRanges: boolean) => AsyncIterable<Uint8Array>;
}

/** The largest piece that is handed out at once. */
const pieceBytes = 1 << 20;

/**
 * The bytes of a part of a blob, fetched as several ranges at once and handed out in order.
 * Shape: at most `maxRanges` times `chunkBytes` wait in memory.
 * Errors: those of `fetch`; a host without ranges is asked for all in one.
 */
export async function* rangedDownload(
  ctx: Ctx,
  part: BlobPart,
  options: RangedDownloadOptions,
): AsyncGenerator<Uint8Array> {
  const { chunkBytes, maxRanges } = options;
  using scope = abortableCtx(ctx);
  const running: Range[] = [];
  let at = part.from;
  let next = part.from;
  const start = (isHead: boolean): boolean => {
    const slot = isHead ? undefined : options.slots?.tryTake();
    if (!isHead && options.slots !== undefined && slot === undefined) return false;
    const range = { from: next, to: Math.min(next + chunkBytes, part.to) };
    next = range.to;
    running.push(new Range(range.to - range.from, options.fetch(scope.ctx, range, true), slot));
    return true;
  };
  try {
    while (at < part.to) {
      if (running.length === 0) start(true);
      while (running.length < maxRanges && next < part.to && start(false));
      for await (const bytes of (running[0] as Range).bytes()) {
        at += bytes.length;
        yield bytes;
      }
      running.shift()?.release();
    }
  } catch (error) {
    if (!(error instanceof RangeIgnored)) throw error;
    scope.abort();
    yield* options.fetch(ctx, { from: at, to: part.to }, false);
  } finally {
    scope.abort();
    await Promise.all(running.map((range) => range.ended));
    for (const range of running) range.release();
  }
}

/** One range, read ahead into memory of its own. */
class Range {
  readonly ended: Promise<void>;
  readonly #memory: Uint8Array<ArrayBuffer>;
  #filled = 0;
  #failure: { readonly error: unknown } | undefined;
  #done = false;
  #wake: (() => void) | undefined;

  constructor(sizeBytes: number, source: AsyncIterable<Uint8Array>, slot: Disposable | undefined) {
    this.#memory = new Uint8Array(sizeBytes);
    this.ended = this.#read(source, slot);
  }

  /** What has come so far in one piece, then what has come since. */
  async *bytes(): AsyncGenerator<Uint8Array> {
    let taken = 0;
    for (;;) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      if (this.#filled > taken) {
        const piece = this.#memory.subarray(taken, Math.min(this.#filled, taken + pieceBytes));
        taken += piece.length;
        yield piece;
      } else if (this.#failure !== undefined) throw this.#failure.error;
      else if (this.#done) return;
      else await promise;
    }
  }

  /** Gives the memory back, without waiting for the garbage collector. */
  release(): void {
    if (!this.#memory.buffer.detached) this.#memory.buffer.transfer(0);
  }

  async #read(source: AsyncIterable<Uint8Array>, slot: Disposable | undefined): Promise<void> {
    try {
      for await (const bytes of source) {
        this.#memory.set(bytes, this.#filled);
        this.#filled += bytes.length;
        if (bytes.byteLength === bytes.buffer.byteLength) (bytes.buffer as ArrayBuffer).transfer(0);
        this.#wake?.();
      }
    } catch (error) {
      this.#failure = { error };
    } finally {
      this.#done = true;
      this.#wake?.();
      slot?.[Symbol.dispose]();
    }
  }
}

/** A context that can be ended apart from its parent. */
function abortableCtx(parent: Ctx): Disposable & { readonly ctx: Ctx; abort(): void } {
  const controller = new AbortController();
  const end = (): void => controller.abort(parent.signal.reason);
  if (parent.signal.aborted) end();
  parent.signal.addEventListener("abort", end, { once: true });
  return {
    ctx: withSignal(parent, controller.signal),
    abort: () => controller.abort(),
    [Symbol.dispose]: () => parent.signal.removeEventListener("abort", end),
  };
}
