/** Names and values by turns; entry 1 of the RFC's table is the first pair. Source: RFC 7541 appendix A. */
// biome-ignore format: pairs
const staticPairs: readonly string[] = [
  ":authority", "", ":method", "GET", ":method", "POST", ":path", "/", ":path", "/index.html",
  ":scheme", "http", ":scheme", "https", ":status", "200", ":status", "204", ":status", "206",
  ":status", "304", ":status", "400", ":status", "404", ":status", "500", "accept-charset", "",
  "accept-encoding", "gzip, deflate", "accept-language", "", "accept-ranges", "", "accept", "",
  "access-control-allow-origin", "", "age", "", "allow", "", "authorization", "", "cache-control", "",
  "content-disposition", "", "content-encoding", "", "content-language", "", "content-length", "",
  "content-location", "", "content-range", "", "content-type", "", "cookie", "", "date", "", "etag", "",
  "expect", "", "expires", "", "from", "", "host", "", "if-match", "", "if-modified-since", "",
  "if-none-match", "", "if-range", "", "if-unmodified-since", "", "last-modified", "", "link", "",
  "location", "", "max-forwards", "", "proxy-authenticate", "", "proxy-authorization", "", "range", "",
  "referer", "", "refresh", "", "retry-after", "", "server", "", "set-cookie", "",
  "strict-transport-security", "", "transfer-encoding", "", "user-agent", "", "vary", "", "via", "",
  "www-authenticate", "",
];

export const staticTableLength = 61;
/** What an entry counts beside its bytes. Source: RFC 7541 section 4.1. */
export const entryOverhead = 32;

let builtIndexes: ReadonlyMap<string, number> | undefined;

/** Entries by name, and by name and value; made when the first is looked up. */
function staticIndexes(): ReadonlyMap<string, number> {
  builtIndexes ??= indexesOf(staticPairs);
  return builtIndexes;
}

function indexesOf(pairs: readonly string[]): ReadonlyMap<string, number> {
  const indexes = new Map<string, number>();
  // Backwards, so that a name alone finds its first entry.
  for (let i = staticTableLength - 1; i >= 0; i--) {
    indexes.set(pairs[i * 2]!, i + 1);
    indexes.set(`${pairs[i * 2]}\0${pairs[i * 2 + 1]}`, i + 1);
  }
  return indexes;
}

/** The static entry that has this name, or, when a value is given, both; 0 when there is none. */
export function staticIndex(name: string, value?: string): number {
  return staticIndexes().get(value === undefined ? name : `${name}\0${value}`) ?? 0;
}

/**
 * HPACK's index space of one direction of a connection: the static table, then what was added, the newest first.
 * Shape: an index is 1-based; `generation` changes whenever an index may mean something else than before.
 * Source: RFC 7541 sections 2.3 and 4.
 */
export class HeaderTable {
  generation = 0;
  #capacity: number;
  #size = 0;
  /** The oldest first; the live ones start at #first. */
  #names: string[] = [];
  #values: string[] = [];
  #first = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  get capacity(): number {
    return this.#capacity;
  }

  get length(): number {
    return staticTableLength + this.#names.length - this.#first;
  }

  get size(): number {
    return this.#size;
  }

  /** Undefined when there is no such entry. */
  name(index: number): string | undefined {
    if (index <= staticTableLength) return staticPairs[(index - 1) * 2];
    const at = this.#names.length - (index - staticTableLength);
    return at >= this.#first ? this.#names[at] : undefined;
  }

  value(index: number): string | undefined {
    if (index <= staticTableLength) return staticPairs[(index - 1) * 2 + 1];
    const at = this.#values.length - (index - staticTableLength);
    return at >= this.#first ? this.#values[at] : undefined;
  }

  /** The added entry with that name and value; 0 when there is none. */
  find(name: string, value: string): number {
    for (let at = this.#names.length - 1; at >= this.#first; at--) {
      if (this.#names[at] === name && this.#values[at] === value) return staticTableLength + this.#names.length - at;
    }
    return 0;
  }

  /** Adds an entry, dropping the oldest that no longer fit; one that is larger than the table empties it. */
  add(name: string, value: string): void {
    const size = name.length + value.length + entryOverhead;
    this.generation++;
    this.#evictTo(this.#capacity - size);
    if (size > this.#capacity) return;
    this.#names.push(name);
    this.#values.push(value);
    this.#size += size;
  }

  resize(capacity: number): void {
    this.generation++;
    this.#capacity = capacity;
    this.#evictTo(capacity);
  }

  #evictTo(room: number): void {
    while (this.#size > Math.max(room, 0)) {
      this.#size -= this.#names[this.#first]!.length + this.#values[this.#first]!.length + entryOverhead;
      this.#names[this.#first] = "";
      this.#values[this.#first] = "";
      this.#first++;
    }
    // The dead head is cut off now and then, so that an entry costs a constant.
    if (this.#first > 64 && this.#first * 2 > this.#names.length) {
      this.#names = this.#names.slice(this.#first);
      this.#values = this.#values.slice(this.#first);
      this.#first = 0;
    }
  }
}
