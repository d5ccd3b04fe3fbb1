import { describe, expect, test } from "bun:test";
import { parse } from "smol-toml";
import { isTable } from "./schema.ts";
import { pathKey, tomlLines } from "./toml-lines.ts";

/** Numbers that come again for the same seed. Source: mulberry32, public domain. */
function seeded(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

type Path = readonly (string | number)[];

/** Writes a random TOML document, and notes the line of every key as it goes. */
class Writer {
  readonly lines = new Map<string, number>();
  text = "";
  readonly #pick: (below: number) => number;
  #line = 1;
  #names = 0;

  constructor(pick: (below: number) => number) {
    this.#pick = pick;
  }

  document(): void {
    this.#noise();
    this.#pairs([], 1 + this.#pick(3));
    for (let count = this.#pick(5); count > 0; count--) this.#section();
  }

  #section(): void {
    const [key, name] = this.#key();
    const below = this.#pick(2) === 0;
    if (this.#pick(2) === 0) {
      this.#note([name]);
      this.#put(`${this.#indent()}[${this.#space()}${key}${this.#space()}]${this.#end()}`);
      this.#pairs([name], 1 + this.#pick(3));
      if (below) this.#subTable([name], key);
      return;
    }
    for (let index = 0; index <= this.#pick(3); index++) {
      if (index === 0) this.#note([name]);
      this.#note([name, index]);
      this.#put(`${this.#indent()}[[${key}]]${this.#end()}`);
      this.#pairs([name, index], this.#pick(3));
      if (below) this.#subTable([name, index], key);
    }
  }

  #subTable(path: Path, header: string): void {
    const [key, name] = this.#key();
    this.#note([...path, name]);
    this.#put(`[${header}${this.#space()}.${this.#space()}${key}]${this.#end()}`);
    this.#pairs([...path, name], 1 + this.#pick(2));
  }

  #pairs(table: Path, count: number): void {
    for (let pair = 0; pair < count; pair++) {
      const [key, name] = this.#key();
      const inner = this.#pick(5) === 0 ? this.#key() : undefined;
      const path = inner === undefined ? [...table, name] : [...table, name, inner[1]];
      this.#note([...table, name]);
      this.#note(path);
      this.#put(`${this.#indent()}${key}${inner === undefined ? "" : `${this.#space()}.${inner[0]}`}${this.#space()}=`);
      this.#put(this.#space());
      this.#value(path, 2);
      this.#put(this.#end());
      this.#noise();
    }
  }

  #value(path: Path, depth: number): void {
    const kind = this.#pick(depth > 0 ? 4 : 2);
    if (kind === 2) this.#list(path, depth);
    else if (kind === 3) this.#inline(path, depth);
    else this.#put(this.#choose(plainValues));
  }

  #list(path: Path, depth: number): void {
    const gap = (): void => this.#put(this.#choose(["", " ", "\n  ", " # [ ] { } = \" '\n"]));
    this.#put("[");
    gap();
    const count = this.#pick(4);
    for (let index = 0; index < count; index++) {
      this.#note([...path, index]);
      this.#value([...path, index], depth - 1);
      gap();
      if (index < count - 1 || this.#pick(2) === 0) this.#put(",");
      gap();
    }
    this.#put("]");
  }

  #inline(path: Path, depth: number): void {
    this.#put("{ ");
    const count = this.#pick(3);
    for (let index = 0; index < count; index++) {
      const [key, name] = this.#key();
      this.#note([...path, name]);
      this.#put(`${index === 0 ? "" : ", "}${key} = `);
      // A list in an inline table may go over several lines; the table's own pairs may not.
      this.#value([...path, name], depth - 1);
    }
    this.#put(" }");
  }

  /** A key that was not there before, as it is written and as it reads. */
  #key(): readonly [written: string, read: string] {
    const name = `k${this.#names++}`;
    const forms: readonly (readonly [string, string])[] = [
      [name, name],
      [`${name}-x_Y`, `${name}-x_Y`],
      [`"${name}.a b"`, `${name}.a b`],
      [`'${name}"#['`, `${name}"#[`],
      [`"${name}\\"\\\\=]"`, `${name}"\\=]`],
      [`"${name}\\u00e9"`, `${name}é`],
    ];
    return this.#choose(forms);
  }

  #noise(): void {
    for (let count = this.#pick(3); count > 0; count--)
      this.#put(this.#choose(["\n", "  \n", "# a = [1\n", "\t# [[x]]\n"]));
  }

  #end(): string {
    return this.#choose(["\n", " # end ] }\n", "  \n", "\r\n"]);
  }

  #indent(): string {
    return this.#choose(["", "  ", "\t"]);
  }

  #space(): string {
    return this.#choose(["", " ", "\t"]);
  }

  #choose<T>(values: readonly T[]): T {
    return values[this.#pick(values.length)] as T;
  }

  #put(text: string): void {
    this.text += text;
    this.#line += text.split("\n").length - 1;
  }

  #note(path: Path): void {
    if (!this.lines.has(pathKey(path))) this.lines.set(pathKey(path), this.#line);
  }
}

const plainValues: readonly string[] = [
  "1",
  "0x1F",
  "1_000.5e3",
  "true",
  "inf",
  "1979-05-27T07:32:00Z",
  "1979-05-27 07:32:00",
  '""',
  "''",
  '"a # b = [c] \\" \\\\"',
  "'c:\\dir\\'",
  '"""\nkey = "no"\n[no]\n"""',
  '""""quoted" \\\n   on"""',
  "'''\n[[no]]\n''\n'''",
  '"""ends with two"""""',
];

/** Every key and list item of what the parser read. */
function paths(value: unknown, path: Path = []): string[] {
  const below = Array.isArray(value) ? [...value.entries()] : isTable(value) ? Object.entries(value) : [];
  return below.flatMap(([key, item]) => [pathKey([...path, key]), ...paths(item, [...path, key])]);
}

describe("tomlLines over a corpus from a seed", () => {
  test("finds every key that the parser reads, on the line on which it was written, and nothing else", () => {
    for (let seed = 1; seed <= 3000; seed++) {
      const writer = new Writer(seeded(seed));
      writer.document();
      const lines = tomlLines(writer.text);
      const read = [...new Set(paths(parse(writer.text)))].toSorted();
      if (!Bun.deepEquals([...lines.keys()].toSorted(), read) || !Bun.deepEquals(lines, writer.lines)) {
        expect({ seed, text: writer.text, lines }).toEqual({ seed, text: writer.text, lines: writer.lines });
        expect({ seed, text: writer.text, keys: [...lines.keys()].toSorted() }).toEqual({
          seed,
          text: writer.text,
          keys: read,
        });
      }
    }
  });
});
