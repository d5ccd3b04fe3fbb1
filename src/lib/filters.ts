import { FaultError, invalidArgument, messageOf, quote } from "./faults.ts";
import { FilterScanner, type Token } from "./filter-scanner.ts";
import { goUnquote } from "./go-quote.ts";
import { compileRegexp, type Matcher } from "./regexp/index.ts";

/** What an object says of one of its fields. An absent field has the value "", which `!=` and `~=` are held against. */
export interface FieldValue {
  readonly value: string;
  readonly present: boolean;
}

/** An object as filters see it: the value behind a field path such as `["labels", "a", "b"]`. */
export type FieldAdaptor = (fieldpath: readonly string[]) => FieldValue;

/** Tells which objects a client asked for. */
export interface Filter {
  /** True when there is nothing to check, so that nothing needs to be decoded for it. */
  readonly matchesAll: boolean;
  matches(adaptor: FieldAdaptor): boolean;
}

/** Bounds on what one call may ask for: none of containerd's, generous, so that a hostile filter stays cheap. */
const maxFilters = 1000;
const maxFilterLength = 65536;

export const absentField: FieldValue = { value: "", present: false };

/** A field that is there when it is not empty, as most are. */
export function nonEmptyField(value: string): FieldValue {
  return value === "" ? absentField : { value, present: true };
}

/** A field of labels or annotations: whatever follows `labels.` is the key, dots and all. */
export function mapField(fieldpath: readonly string[], map: ReadonlyMap<string, string>): FieldValue {
  const value = map.get(fieldpath.join("."));
  return value === undefined ? absentField : { value, present: true };
}

/** The same for labels as the API carries them. */
export function recordField(fieldpath: readonly string[], record: Readonly<Record<string, string>>): FieldValue {
  const key = fieldpath.join(".");
  const value = Object.hasOwn(record, key) ? record[key] : undefined;
  return value === undefined ? absentField : { value, present: true };
}

const matchAll: Filter = { matchesAll: true, matches: () => true };

/**
 * Parses the filters of one call: an object matches when it matches any of them; with none, every one does.
 * Shape: selectors joined by commas, each `path`, `path==value`, `path!=value` or `path~=regexp`; values may be quoted as in
 * Go, regular expressions between `/` or `|` too.
 * Errors: invalidArgument, with containerd's text; also for a regular expression that doesn't compile, which containerd takes
 * and then matches nothing with.
 * Source: containerd pkg/filters/parser.go.
 */
export function parseFilters(filters: readonly string[]): Filter {
  if (filters.length === 0) return matchAll;
  if (filters.length > maxFilters) throw invalidArgument(`filters: more than ${maxFilters} filters`);
  const alternatives = filters.map(parseFilter);
  if (alternatives.some((selectors) => selectors.length === 0)) return matchAll;
  return {
    matchesAll: false,
    matches: (adaptor) => alternatives.some((selectors) => selectors.every((selects) => selects(adaptor))),
  };
}

/** The same as the stores of records do it, whose errors say twice what kind they are. Source: core/metadata/containers.go, List. */
export function parseRecordFilters(filters: readonly string[]): Filter {
  try {
    return parseFilters(filters);
  } catch (error) {
    throw error instanceof FaultError ? invalidArgument(error.message, { cause: error }) : error;
  }
}

/** True when the object is selected. */
type Selector = (adaptor: FieldAdaptor) => boolean;

/** An empty filter has no selectors and matches everything. */
function parseFilter(input: string): readonly Selector[] {
  if (input.length > maxFilterLength)
    throw invalidArgument(`filters: filter is longer than ${maxFilterLength} characters`);
  if (input === "") return [];
  const scanner = new FilterScanner(input);
  const refuse = (at: number, problem: string): Error =>
    invalidArgument(`filters: parse error: ${pointAt(input, at)}: ${problem}`);
  const parser = new FilterParser(scanner, refuse);
  return parser.selectors();
}

class FilterParser {
  readonly #scanner: FilterScanner;
  readonly #refuse: (at: number, problem: string) => Error;
  /** Regular expressions are compiled last, so that what else is wrong is told first, as containerd does. */
  readonly #uncompiled: (() => void)[] = [];

  constructor(scanner: FilterScanner, refuse: (at: number, problem: string) => Error) {
    this.#scanner = scanner;
    this.#refuse = refuse;
  }

  selectors(): readonly Selector[] {
    const selectors = [this.#selector()];
    for (let next = this.#scanner.peek(); next !== "end"; next = this.#scanner.peek()) {
      if (next !== ",") throw this.#refuse(this.#scanner.position, `unexpected input: ${shown(next)}`);
      this.#scanner.scan();
      selectors.push(this.#selector());
    }
    for (const compile of this.#uncompiled) compile();
    return selectors;
  }

  #selector(): Selector {
    const path = this.#fieldpath();
    const next = this.#scanner.peek();
    if (next === "," || next === "end") return (adaptor) => adaptor(path).present;
    const operator = this.#operator();
    const token = this.#scanner.scan();
    const value = this.#value(token, operator === "~=");
    switch (operator) {
      case "==":
        return (adaptor) => {
          const field = adaptor(path);
          return field.present && field.value === value;
        };
      case "!=":
        return (adaptor) => adaptor(path).value !== value;
      case "~=": {
        let matches: Matcher = () => false;
        this.#uncompiled.push(() => {
          matches = this.#regexp(token, value);
        });
        return (adaptor) => matches(adaptor(path).value);
      }
    }
  }

  #fieldpath(): readonly string[] {
    const path = [this.#field()];
    while (this.#scanner.peek() === ".") {
      this.#scanner.scan();
      path.push(this.#field());
    }
    return path;
  }

  #field(): string {
    const token = this.#scanner.scan();
    if (token.kind === "field") return token.text;
    if (token.kind === "quoted") return this.#unquote(token, false);
    throw this.#refuse(token.at, token.kind === "illegal" ? this.#scanner.problem : "expected field or quoted");
  }

  #operator(): "==" | "!=" | "~=" {
    const { kind, text, at } = this.#scanner.scan();
    if (kind === "illegal") throw this.#refuse(at, this.#scanner.problem);
    if (kind !== "operator") throw this.#refuse(at, `expected an operator ("=="|"!="|"~=")`);
    if (text === "==" || text === "!=" || text === "~=") return text;
    throw this.#refuse(at, `unsupported operator ${quote(text)}`);
  }

  #value(token: Token, allowsAllQuotes: boolean): string {
    if (token.kind === "value" || token.kind === "field") return token.text;
    if (token.kind === "quoted") return this.#unquote(token, allowsAllQuotes);
    throw this.#refuse(token.at, token.kind === "illegal" ? this.#scanner.problem : "expected value or quoted");
  }

  #unquote({ text, at }: Token, allowsAllQuotes: boolean): string {
    if (!allowsAllQuotes && !text.startsWith('"')) throw this.#refuse(at, "invalid quote encountered");
    try {
      return goUnquote(text);
    } catch (error) {
      throw this.#refuse(at, `unquoting failed: ${messageOf(error)}`);
    }
  }

  #regexp({ at }: Token, pattern: string): Matcher {
    try {
      return compileRegexp(pattern);
    } catch (error) {
      throw this.#refuse(at, messageOf(error));
    }
  }
}

/** The input with the character at a position marked, as containerd shows it. */
function pointAt(input: string, at: number): string {
  if (at >= input.length) return `[${input}]`;
  const char = String.fromCodePoint(input.codePointAt(at) as number);
  return `[${input.slice(0, at)} >|${char}|< ${input.slice(at + char.length)}]`;
}

/** A character that was not expected; containerd prints its own marker for an illegal one as the replacement character. */
function shown(next: string): string {
  return next === "illegal" ? "\ufffd" : next;
}
