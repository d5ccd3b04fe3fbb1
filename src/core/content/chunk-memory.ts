/** Where a blob's chunks are read to. */
export interface ChunkMemory {
  /** Memory for the next chunk. */
  take(sizeBytes: number): Uint8Array;
  /** All chunks are done with. */
  done(): void;
}

/** Chunks are their taker's for good. */
export const freshMemory: ChunkMemory = {
  take: (sizeBytes) => Buffer.allocUnsafeSlow(sizeBytes),
  done: () => {},
};

const smallBytes = 64 * 1024;
const largeBytes = 1 << 20;
/** As much is kept while nobody reads. */
const [maxSmall, maxLarge] = [16, 4];

/** Memory for chunks that is used again and again: memory that is new to a process costs as much as reading a file to it. */
export class ChunkPool {
  readonly #small: Buffer[] = [];
  readonly #large: Buffer[] = [];

  /** For one reader, whose chunk is its own until it asks for the next: two pieces in turn, one being read to meanwhile. */
  turnByTurn(): ChunkMemory {
    const pieces: Buffer[] = [];
    return {
      take: (sizeBytes) => {
        const least = pieces.length < 2 ? undefined : pieces.shift();
        const piece = least !== undefined && least.length >= sizeBytes ? least : this.#take(sizeBytes);
        pieces.push(piece);
        return piece.subarray(0, sizeBytes);
      },
      done: () => {
        for (const piece of pieces.splice(0)) this.#giveBack(piece);
      },
    };
  }

  #take(sizeBytes: number): Buffer {
    const isSmall = sizeBytes <= smallBytes;
    return (isSmall ? this.#small : this.#large).pop() ?? Buffer.allocUnsafeSlow(isSmall ? smallBytes : largeBytes);
  }

  #giveBack(piece: Buffer): void {
    const isSmall = piece.length === smallBytes;
    const kept = isSmall ? this.#small : this.#large;
    if (kept.length < (isSmall ? maxSmall : maxLarge)) kept.push(piece);
  }
}
