import { HpackDecoder } from "./hpack-decoder.ts";
import type { HeaderFields } from "./hpack-encoder.ts";

/** A decoded header block. Blocks that came as the same bytes with the same meaning are one object. */
export interface HeaderBlock {
  readonly fields: HeaderFields;
  /** Whatever the layer above derives from the fields, kept with them so that it is derived once. */
  attachment: unknown;
  /** What is wrong with it as a request, "" when nothing; filled in on first use. */
  requestProblem: string | undefined;
}

interface Remembered {
  readonly bytes: Buffer;
  readonly generation: number;
  readonly block: HeaderBlock;
}

const rememberedBlocks = 16;
const rememberedLength = 512;

/** The value of the first field of that name. */
export function headerValue(fields: HeaderFields, name: string): string | undefined {
  for (let i = 0; i < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

/** What a header list counts towards SETTINGS_MAX_HEADER_LIST_SIZE, in bytes. Source: RFC 9113 section 6.5.2. */
export function headerListSize(fields: HeaderFields): number {
  let size = 16 * fields.length;
  for (const part of fields) size += part.length;
  return size;
}

/**
 * Decodes header blocks and remembers the last few: a client that makes the same call again sends the same bytes, and
 * while the dynamic table stands still these mean the same.
 */
export class HeaderBlockReader {
  readonly #decoder: HpackDecoder;
  readonly #maxListSize: number;
  readonly #remembered: Remembered[] = [];
  #next = 0;

  constructor(tableSize: number, maxListSize: number) {
    this.#decoder = new HpackDecoder(tableSize);
    this.#maxListSize = maxListSize;
  }

  /** Undefined when the list is larger than allowed. Errors: ConnectionError. */
  read(bytes: Buffer, start: number, end: number): HeaderBlock | undefined {
    const generation = this.#decoder.table.generation;
    for (const candidate of this.#remembered) {
      if (candidate.generation === generation && same(candidate.bytes, bytes, start, end)) return candidate.block;
    }
    const fields = this.#decoder.decode(bytes, start, end, this.#maxListSize);
    if (fields === undefined) return undefined;
    const block: HeaderBlock = { fields, attachment: undefined, requestProblem: undefined };
    if (generation === this.#decoder.table.generation && end - start <= rememberedLength) {
      this.#remembered[this.#next] = { bytes: Buffer.from(bytes.subarray(start, end)), generation, block };
      this.#next = (this.#next + 1) % rememberedBlocks;
    }
    return block;
  }
}

function same(known: Buffer, bytes: Buffer, start: number, end: number): boolean {
  if (known.length !== end - start) return false;
  for (let i = 0; i < known.length; i++) if (known[i] !== bytes[start + i]) return false;
  return true;
}
