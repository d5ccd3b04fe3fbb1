import { entryOverhead, HeaderTable, staticIndex } from "./header-table.ts";
import { protocolDefaults } from "./protocol.ts";

/** Names and values by turns, in lower case, one character a byte. */
export type HeaderFields = readonly string[];

/** A constant list of fields, made once: each connection learns it and afterwards sends it in a few bytes. */
export class HeaderTemplate {
  readonly fields: HeaderFields;
  constructor(fields: HeaderFields) {
    this.fields = fields;
  }
}

/** What can be sent as a header block. */
export type HeaderSource = HeaderFields | HeaderTemplate;

interface CachedBlock {
  readonly generation: number;
  readonly bytes: Buffer;
}

/**
 * Makes header blocks for one direction of a connection, in the order in which they are sent.
 * Field lists that were declared as templates enter the dynamic table and, from the second time, cost a copy of a few
 * bytes; other fields go as literals that leave the table alone. Huffman is not used: it saves bytes that a local
 * socket does not miss. Source: RFC 7541 section 6.
 */
export class HpackEncoder {
  readonly table: HeaderTable = new HeaderTable(protocolDefaults.headerTableSize);
  readonly #cache = new Map<HeaderTemplate, CachedBlock>();
  /** The sizes to announce before the next block, the smallest in between first. */
  #smallest: number | undefined;
  #pending: number | undefined;

  /** Takes the peer's SETTINGS_HEADER_TABLE_SIZE; more than the default is of no use to us. */
  limit(size: number): void {
    const next = Math.min(size, protocolDefaults.headerTableSize);
    if (this.#pending === undefined && next === this.table.capacity) return;
    this.#smallest = Math.min(this.#smallest ?? next, next);
    this.#pending = next;
  }

  encode(source: HeaderSource): Buffer {
    return source instanceof HeaderTemplate ? this.#template(source) : this.#encode(source, false);
  }

  #template(template: HeaderTemplate): Buffer {
    const cached = this.#cache.get(template);
    if (cached !== undefined && cached.generation === this.table.generation && this.#pending === undefined) {
      return cached.bytes;
    }
    const bytes = this.#encode(template.fields, true);
    // What was just added is referred to by index the next time; only such a block may be kept.
    const again = this.#encode(template.fields, true);
    this.#cache.set(template, { generation: this.table.generation, bytes: again });
    return bytes;
  }

  #encode(fields: HeaderFields, indexing: boolean): Buffer {
    const out: Buffer[] = [];
    if (this.#pending !== undefined) this.#announce(out);
    for (let i = 0; i < fields.length; i += 2) this.#field(out, fields[i]!, fields[i + 1]!, indexing);
    return out.length === 1 ? out[0]! : Buffer.concat(out);
  }

  #announce(out: Buffer[]): void {
    for (const size of new Set([this.#smallest!, this.#pending!])) {
      this.table.resize(size);
      out.push(integer(0x20, 5, size));
    }
    this.#smallest = undefined;
    this.#pending = undefined;
  }

  #field(out: Buffer[], name: string, value: string, indexing: boolean): void {
    const index = staticIndex(name, value) || (this.table.size > 0 ? this.table.find(name, value) : 0);
    if (index > 0) {
      out.push(integer(0x80, 7, index));
      return;
    }
    const fits = name.length + value.length + entryOverhead + this.table.size <= this.table.capacity;
    const nameIndex = staticIndex(name);
    // Nothing is ever evicted: a full table would make the templates push one another out.
    if (indexing && fits) {
      this.table.add(name, value);
      out.push(integer(0x40, 6, nameIndex));
    } else {
      out.push(integer(0x00, 4, nameIndex));
    }
    if (nameIndex === 0) text(out, name);
    text(out, value);
  }
}

function text(out: Buffer[], value: string): void {
  out.push(integer(0x00, 7, value.length), Buffer.from(value, "latin1"));
}

function integer(pattern: number, prefixBits: number, value: number): Buffer {
  const mask = (1 << prefixBits) - 1;
  if (value < mask) return Buffer.of(pattern | value);
  const bytes = [pattern | mask];
  let rest = value - mask;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  bytes.push(rest);
  return Buffer.from(bytes);
}
