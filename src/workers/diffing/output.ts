import { writeSync } from "node:fs";
import { constants, createGzip, createZstdCompress } from "node:zlib";
import { type FaultError, fault, messageOf } from "../../lib/faults.ts";
import type { DiffCompression } from "../jobs.ts";

/** Where an archive's bytes go: compressed, on standard output. */
export interface ArchiveOutput {
  /** Takes bytes, which are only lent. */
  write(bytes: Uint8Array): void;
  /** True when the writer should wait before it goes on. */
  isFull(): boolean;
  drained(): Promise<void>;
  end(): Promise<void>;
}

const outputFd = 1;
const blockBytes = 1 << 20;
/** How much may wait for the compressor's thread. */
const maxWaiting = 4;

/** Opens standard output as the archive's one. Shape: the same bytes compress to the same bytes. */
export function openOutput(compression: DiffCompression): ArchiveOutput {
  return compression === "none" ? new PlainOutput() : new CompressedOutput(compression);
}

/** Gathers small pieces, so that headers do not each cost a call. */
abstract class BlockOutput implements ArchiveOutput {
  #block = Buffer.allocUnsafeSlow(blockBytes);
  #used = 0;

  write(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(blockBytes - this.#used, bytes.length - at);
      this.#block.set(bytes.subarray(at, at + count), this.#used);
      this.#used += count;
      at += count;
      if (this.#used === blockBytes) this.flush();
    }
  }

  protected flush(): void {
    if (this.#used > 0) this.take(this.#block.subarray(0, this.#used));
    this.#block = Buffer.allocUnsafeSlow(blockBytes);
    this.#used = 0;
  }

  protected abstract take(block: Buffer): void;
  abstract isFull(): boolean;
  abstract drained(): Promise<void>;
  abstract end(): Promise<void>;
}

class PlainOutput extends BlockOutput {
  protected override take(block: Buffer): void {
    writeOut(block);
  }

  isFull(): boolean {
    return false;
  }

  async drained(): Promise<void> {}

  async end(): Promise<void> {
    this.flush();
  }
}

class CompressedOutput extends BlockOutput {
  readonly #stream: ReturnType<typeof createGzip> | ReturnType<typeof createZstdCompress>;
  readonly #ended = Promise.withResolvers<void>();
  #waiting = 0;
  #wake: (() => void) | undefined;
  #failure: FaultError | undefined;

  constructor(compression: "gzip" | "zstd") {
    super();
    this.#stream =
      compression === "gzip"
        ? createGzip({ chunkSize: blockBytes })
        : createZstdCompress({ chunkSize: blockBytes, params: { [constants.ZSTD_c_compressionLevel]: 3 } });
    this.#stream.on("data", (bytes: Uint8Array) => writeOut(bytes));
    this.#stream.on("end", () => this.#ended.resolve());
    this.#stream.on("error", (error: unknown) => {
      this.#failure = fault("unknown", `compress: ${messageOf(error)}`);
      this.#ended.reject(this.#failure);
      this.#wake?.();
    });
  }

  protected override take(block: Buffer): void {
    this.#waiting++;
    this.#stream.write(block, () => {
      this.#waiting--;
      this.#wake?.();
    });
  }

  isFull(): boolean {
    return this.#waiting >= maxWaiting;
  }

  async drained(): Promise<void> {
    while (this.isFull() && this.#failure === undefined) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    if (this.#failure !== undefined) throw this.#failure;
  }

  async end(): Promise<void> {
    this.flush();
    this.#stream.end();
    await this.#ended.promise;
  }
}

function writeOut(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(outputFd, bytes, at, bytes.length - at);
}
