import { HeaderTable } from "./header-table.ts";
import { huffmanDecode } from "./huffman.ts";
import { ConnectionError, errorCode, protocolDefaults } from "./protocol.ts";

/**
 * Takes header blocks of one direction of a connection apart, in the order in which they came.
 * Shape: a block becomes names and values by turns, a byte a character.
 * Errors: ConnectionError compressionError; the connection cannot go on, for the table is out of step.
 * Source: RFC 7541 sections 3 and 6.
 */
export class HpackDecoder {
  readonly table: HeaderTable;
  readonly #allowed: number;
  #bytes: Buffer = Buffer.alloc(0);
  #at = 0;
  #end = 0;

  constructor(allowedTableSize: number = protocolDefaults.headerTableSize) {
    this.#allowed = allowedTableSize;
    this.table = new HeaderTable(protocolDefaults.headerTableSize);
  }

  /**
   * Decodes one whole block. Fields beyond `maxListSize` (counted as RFC 9113 section 6.5.2 does) are decoded but left
   * out, and undefined is returned.
   */
  decode(bytes: Buffer, start: number, end: number, maxListSize: number): string[] | undefined {
    this.#bytes = bytes;
    this.#at = start;
    this.#end = end;
    this.#sizeUpdates();
    const fields: string[] = [];
    let size = 0;
    while (this.#at < end) {
      const before = fields.length;
      this.#field(fields);
      size += fields[before]!.length + fields[before + 1]!.length + 32;
      if (size > maxListSize) fields.length = 0;
    }
    return size > maxListSize ? undefined : fields;
  }

  /** Only at the start of a block may the table's size change. Source: RFC 7541 section 4.2. */
  #sizeUpdates(): void {
    while (this.#at < this.#end && (this.#bytes[this.#at]! & 0xe0) === 0x20) {
      const size = this.#integer(5);
      if (size > this.#allowed) throw bad("table size update above the limit");
      this.table.resize(size);
    }
  }

  #field(fields: string[]): void {
    const first = this.#bytes[this.#at]!;
    if (first & 0x80) {
      const index = this.#integer(7);
      fields.push(this.#name(index), this.table.value(index)!);
      return;
    }
    if ((first & 0xe0) === 0x20) throw bad("table size update within a block");
    const indexing = (first & 0x40) !== 0;
    const index = this.#integer(indexing ? 6 : 4);
    const name = index === 0 ? this.#string() : this.#name(index);
    const value = this.#string();
    if (indexing) this.table.add(name, value);
    fields.push(name, value);
  }

  #name(index: number): string {
    const name = index === 0 ? undefined : this.table.name(index);
    if (name === undefined) throw bad(`no header at index ${index}`);
    return name;
  }

  /** Source: RFC 7541 section 5.1; numbers above 2^28 mean nothing here and are refused. */
  #integer(prefixBits: number): number {
    const mask = (1 << prefixBits) - 1;
    let value = this.#bytes[this.#at++]! & mask;
    if (value < mask) return value;
    for (let shift = 0; shift <= 21; shift += 7) {
      if (this.#at >= this.#end) throw bad("integer is cut off");
      const byte = this.#bytes[this.#at++]!;
      value += (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw bad("integer is too large");
  }

  #string(): string {
    if (this.#at >= this.#end) throw bad("string is cut off");
    const huffman = (this.#bytes[this.#at]! & 0x80) !== 0;
    const length = this.#integer(7);
    const start = this.#at;
    if (length > this.#end - start) throw bad("string is cut off");
    this.#at += length;
    return huffman ? huffmanDecode(this.#bytes, start, this.#at) : this.#bytes.toString("latin1", start, this.#at);
  }
}

function bad(message: string): ConnectionError {
  return new ConnectionError(errorCode.compressionError, `hpack: ${message}`);
}
