const newline = 0x0a;
const encoder = new TextEncoder();

/**
 * Puts the time before each line, that of its end; a time that nobody knows is a dash.
 * Shape: takes pieces in their order; a line that is not whole is held back until it is, or until `flush`.
 */
export class LineStamps {
  readonly #write: (bytes: Uint8Array) => void;
  readonly #timeOf: (offset: number) => number;
  #rest: Uint8Array = new Uint8Array(0);
  #end = 0;

  constructor(write: (bytes: Uint8Array) => void, timeOf: (offset: number) => number) {
    this.#write = write;
    this.#timeOf = timeOf;
  }

  take(bytes: Uint8Array, at: number): void {
    const parts: Uint8Array[] = [];
    let from = 0;
    for (let to = bytes.indexOf(newline); to >= 0; to = bytes.indexOf(newline, from)) {
      parts.push(this.#stamp(at + to), this.#rest, bytes.subarray(from, to + 1));
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
    this.#write(Buffer.concat([this.#stamp(this.#end - 1), this.#rest]));
    this.#rest = new Uint8Array(0);
  }

  #stamp(offset: number): Uint8Array {
    const time = this.#timeOf(offset);
    return encoder.encode(time === 0 ? "- " : `${new Date(time).toISOString()} `);
  }
}
