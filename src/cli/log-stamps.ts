const newline = 0x0a;
const encoder = new TextEncoder();

/** A line's time as it is shown before it; one that nobody knows is a dash. */
export function stampOf(ms: number): string {
  return ms === 0 ? "- " : `${new Date(ms).toISOString()} `;
}

/**
 * Puts words before each line, by where its end is.
 * Shape: takes pieces in their order; a line that is not whole is held back until it is, or until `flush`.
 */
export class LinePrefixes {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #prefixOf: (offset: number) => string;
  #rest: Uint8Array = new Uint8Array(0);
  #end = 0;

  constructor(write: (bytes: Uint8Array) => void, prefixOf: (offset: number) => string) {
    this.#write = write;
    this.#prefixOf = prefixOf;
  }

  take(bytes: Uint8Array, at: number): void {
    const parts: Uint8Array[] = [];
    let from = 0;
    for (let to = bytes.indexOf(newline); to >= 0; to = bytes.indexOf(newline, from)) {
      parts.push(this.#prefix(at + to), this.#rest, bytes.subarray(from, to + 1));
      this.#rest = new Uint8Array(0);
      from = to + 1;
    }
    if (from < bytes.length) this.#rest = Buffer.concat([this.#rest, bytes.subarray(from)]);
    this.#end = at + bytes.length;
    if (parts.length > 0) this.#write(Buffer.concat(parts));
  }

  /** Lets a last line go that has no end. */
  flush(): void {
    if (this.#rest.length === 0) return;
    this.#write(Buffer.concat([this.#prefix(this.#end - 1), this.#rest]));
    this.#rest = new Uint8Array(0);
  }

  #prefix(offset: number): Uint8Array {
    return encoder.encode(this.#prefixOf(offset));
  }
}
