/** A key's place in a document, as text: table names, keys and list indexes. */
export function pathKey(path: readonly (string | number)[]): string {
  return JSON.stringify(path);
}

/**
 * Finds the line on which each key of a TOML document stands (the TOML parser gives none).
 * Shape: `text` is a valid document (parsed before); keys are those of `pathKey`, lines count from 1, the first wins.
 */
export function tomlLines(text: string): ReadonlyMap<string, number> {
  const scanner = new Scanner(text);
  scanner.document();
  return scanner.lines;
}

class Scanner {
  readonly lines = new Map<string, number>();
  readonly #text: string;
  readonly #listSizes = new Map<string, number>();
  #at = 0;
  #line = 1;

  constructor(text: string) {
    this.#text = text;
  }

  document(): void {
    let table: (string | number)[] = [];
    for (this.#skip(/[\s]/); this.#at < this.#text.length; this.#skip(/[\s]/)) {
      if (this.#peek() !== "[") this.#pair(table);
      else if (this.#peek(1) === "[") table = this.#listHeader();
      else table = this.#tableHeader();
    }
  }

  #tableHeader(): (string | number)[] {
    this.#advance(1);
    const path = this.#resolve(this.#keys());
    this.#record(path);
    this.#advance(1);
    return path;
  }

  #listHeader(): (string | number)[] {
    this.#advance(2);
    const keys = this.#keys();
    const path = [...this.#resolve(keys.slice(0, -1)), ...keys.slice(-1)];
    const size = this.#listSizes.get(pathKey(path)) ?? 0;
    this.#listSizes.set(pathKey(path), size + 1);
    this.#record(path);
    this.#record([...path, size]);
    this.#advance(2);
    return [...path, size];
  }

  /** A header's keys lead through the newest item of each list of tables on their way. */
  #resolve(keys: readonly string[]): (string | number)[] {
    const path: (string | number)[] = [];
    for (const key of keys) {
      path.push(key);
      const size = this.#listSizes.get(pathKey(path));
      if (size !== undefined) path.push(size - 1);
    }
    return path;
  }

  #pair(table: readonly (string | number)[]): void {
    const line = this.#line;
    const keys = this.#keys();
    for (let depth = 1; depth <= keys.length; depth++) this.#record([...table, ...keys.slice(0, depth)], line);
    this.#skip(/[ \t]/);
    this.#advance(1);
    this.#value([...table, ...keys]);
  }

  #keys(): string[] {
    const keys = [this.#key()];
    for (this.#skip(/[ \t]/); this.#peek() === "."; this.#skip(/[ \t]/)) {
      this.#advance(1);
      keys.push(this.#key());
    }
    return keys;
  }

  #key(): string {
    this.#skip(/[ \t]/);
    const start = this.#at;
    const quote = this.#peek();
    if (quote === '"' || quote === "'") {
      this.#string();
      const raw = this.#text.slice(start + 1, this.#at - 1);
      return quote === '"' ? unescape(raw) : raw;
    }
    while (/[A-Za-z0-9_-]/.test(this.#peek())) this.#advance(1);
    if (this.#at === start) this.#advance(1); // not a key: a step keeps a broken document from holding us
    return this.#text.slice(start, this.#at);
  }

  #value(path: readonly (string | number)[]): void {
    this.#skip(/[ \t]/);
    const first = this.#peek();
    if (first === '"' || first === "'") this.#string();
    else if (first === "[") this.#list(path);
    else if (first === "{") this.#inlineTable(path);
    else while (this.#at < this.#text.length && !/[,\]}\n#]/.test(this.#peek())) this.#advance(1);
  }

  #list(path: readonly (string | number)[]): void {
    this.#advance(1);
    for (let index = 0; this.#more("]"); index++) {
      this.#record([...path, index]);
      this.#value([...path, index]);
      this.#comma();
    }
    this.#advance(1);
  }

  #inlineTable(path: readonly (string | number)[]): void {
    this.#advance(1);
    while (this.#more("}")) {
      this.#pair(path);
      this.#comma();
    }
    this.#advance(1);
  }

  #more(end: string): boolean {
    this.#skip(/\s/);
    return this.#at < this.#text.length && this.#peek() !== end;
  }

  #comma(): void {
    this.#skip(/\s/);
    if (this.#peek() === ",") this.#advance(1);
  }

  #string(): void {
    const quote = this.#peek();
    const triple = quote.repeat(3);
    const end = this.#text.startsWith(triple, this.#at) ? triple : quote;
    this.#advance(end.length);
    while (this.#at < this.#text.length && !this.#text.startsWith(end, this.#at))
      this.#advance(quote === '"' && this.#peek() === "\\" ? 2 : 1);
    this.#advance(end.length);
    // A multi-line string may end with one or two quotes of its own before the three that close it.
    while (end === triple && this.#peek() === quote) this.#advance(1);
  }

  /** Passes over such characters and over comments. */
  #skip(what: RegExp): void {
    while (this.#at < this.#text.length) {
      if (this.#peek() === "#") while (this.#at < this.#text.length && this.#peek() !== "\n") this.#advance(1);
      else if (what.test(this.#peek())) this.#advance(1);
      else return;
    }
  }

  #peek(ahead = 0): string {
    return this.#text[this.#at + ahead] ?? "";
  }

  #advance(count: number): void {
    for (let step = 0; step < count; step++) if (this.#text[this.#at++] === "\n") this.#line++;
  }

  #record(path: readonly (string | number)[], line = this.#line): void {
    const key = pathKey(path);
    if (!this.lines.has(key)) this.lines.set(key, line);
  }
}

/** A quoted key's text. Escapes that JSON lacks (\U, \e, \x) stay as written: such a key has a line, found or not. */
function unescape(raw: string): string {
  try {
    return String(JSON.parse(`"${raw}"`));
  } catch {
    return raw; // the reason is above
  }
}
