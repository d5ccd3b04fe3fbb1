import { charSet, perlItem, posixItem, rangeItem, type SetItem, unicodeItem } from "./char-set.ts";
import { type CharSet, type RegexpNode, RegexpSyntaxError } from "./syntax.ts";

/** RE2's longest counted repetition. Source: Go regexp/syntax, doc.go. */
const maxRepeat = 1000;
/** How deep groups may nest, as in Go's regexp/syntax. */
const maxDepth = 1000;

interface Flags {
  readonly fold: boolean;
  readonly multiLine: boolean;
  readonly dotAll: boolean;
}

const noFlags: Flags = { fold: false, multiLine: false, dotAll: false };

/**
 * Parses RE2's syntax, as Go's regexp accepts it.
 * Errors: RegexpSyntaxError.
 * Source: Go regexp/syntax doc.go.
 */
export function parseRegexp(pattern: string): RegexpNode {
  return new Parser(pattern).parse();
}

class Parser {
  readonly #chars: readonly string[];
  readonly #pattern: string;
  #at = 0;
  #depth = 0;
  #flags = noFlags;

  constructor(pattern: string) {
    this.#pattern = pattern;
    this.#chars = Array.from(pattern);
  }

  parse(): RegexpNode {
    const node = this.#choice();
    if (this.#at < this.#chars.length) throw new RegexpSyntaxError(`unexpected ): \`${this.#pattern}\``);
    return node;
  }

  #peek(offset = 0): string | undefined {
    return this.#chars[this.#at + offset];
  }

  #next(what: string): string {
    const char = this.#chars[this.#at];
    if (char === undefined) throw new RegexpSyntaxError(what);
    this.#at += 1;
    return char;
  }

  #take(text: string): boolean {
    if (this.#chars.slice(this.#at, this.#at + text.length).join("") !== text) return false;
    this.#at += text.length;
    return true;
  }

  #choice(): RegexpNode {
    const parts = [this.#sequence()];
    while (this.#take("|")) parts.push(this.#sequence());
    return parts.length === 1 ? (parts[0] as RegexpNode) : { kind: "choice", parts };
  }

  #sequence(): RegexpNode {
    const parts: RegexpNode[] = [];
    for (let char = this.#peek(); char !== undefined && char !== "|" && char !== ")"; char = this.#peek()) {
      if (this.#take("\\Q")) parts.push(...this.#quoted());
      else if (char === "(" && this.#isFlagGroup()) this.#flagGroup();
      else parts.push(this.#repeated(this.#atom()));
    }
    return { kind: "sequence", parts };
  }

  #quoted(): RegexpNode[] {
    const nodes: RegexpNode[] = [];
    while (this.#peek() !== undefined && !this.#take("\\E")) nodes.push(this.#literal(this.#next("")));
    const last = nodes.pop();
    return last === undefined ? [] : [...nodes, this.#repeated(last)];
  }

  #repeated(atom: RegexpNode): RegexpNode {
    const bounds = this.#bounds();
    if (bounds === undefined) return atom;
    this.#take("?");
    const again = this.#at;
    if (this.#bounds() !== undefined) {
      const operator = this.#chars.slice(again - 1, this.#at).join("");
      throw new RegexpSyntaxError(`invalid nested repetition operator: \`${operator}\``);
    }
    return { kind: "repeat", part: atom, ...bounds };
  }

  #bounds(): { min: number; max: number } | undefined {
    if (this.#take("*")) return { min: 0, max: Number.POSITIVE_INFINITY };
    if (this.#take("+")) return { min: 1, max: Number.POSITIVE_INFINITY };
    if (this.#take("?")) return { min: 0, max: 1 };
    if (this.#peek() !== "{") return undefined;
    const rest = this.#chars.slice(this.#at, this.#at + 24).join("");
    const match = /^\{(\d+)(?:(,)(\d*))?\}/.exec(rest);
    if (match === null) return undefined;
    const min = Number(match[1]);
    const max = match[2] === undefined ? min : match[3] === "" ? Number.POSITIVE_INFINITY : Number(match[3]);
    if (min > maxRepeat || (max > maxRepeat && max !== Number.POSITIVE_INFINITY) || min > max) {
      throw new RegexpSyntaxError(`invalid repeat count: \`${match[0]}\``);
    }
    this.#at += match[0].length;
    return { min, max };
  }

  #atom(): RegexpNode {
    const operatorAt = this.#at;
    if (this.#bounds() !== undefined) {
      const operator = this.#chars.slice(operatorAt, this.#at).join("");
      throw new RegexpSyntaxError(`missing argument to repetition operator: \`${operator}\``);
    }
    const char = this.#next("");
    switch (char) {
      case "(":
        return this.#group();
      case "[":
        return { kind: "set", set: this.#class() };
      case ".":
        return { kind: "set", set: this.#flags.dotAll ? () => true : (codePoint) => codePoint !== 0x0a };
      case "^":
        return { kind: "assert", at: this.#flags.multiLine ? "lineStart" : "textStart" };
      case "$":
        return { kind: "assert", at: this.#flags.multiLine ? "lineEnd" : "textEnd" };
      case "\\":
        return this.#escape();
      default:
        return this.#literal(char);
    }
  }

  #literal(char: string): RegexpNode {
    return { kind: "set", set: charSet([rangeItem(codePointOf(char))], false, this.#flags.fold) };
  }

  #group(): RegexpNode {
    if (++this.#depth > maxDepth) throw new RegexpSyntaxError("expression nests too deeply");
    const outer = this.#flags;
    if (this.#take("?")) this.#groupPrefix();
    const node = this.#choice();
    if (!this.#take(")")) throw new RegexpSyntaxError(`missing closing ): \`${this.#pattern}\``);
    this.#flags = outer;
    this.#depth -= 1;
    return node;
  }

  #groupPrefix(): void {
    if (this.#take("P<") || this.#take("<")) {
      let name = "";
      for (let char = this.#next("invalid named capture"); char !== ">"; char = this.#next("invalid named capture"))
        name += char;
      if (!/^\w+$/.test(name)) throw new RegexpSyntaxError(`invalid named capture: \`(?P<${name}>\``);
      return;
    }
    this.#flags = this.#readFlags(":");
  }

  /** `(?i)` sets flags to the end of the group it stands in; `(?i:...)` is a group. */
  #isFlagGroup(): boolean {
    return /^\(\?[imsU]*(?:-[imsU]+)?\)/.test(this.#chars.slice(this.#at, this.#at + 16).join(""));
  }

  #flagGroup(): void {
    this.#at += 2;
    this.#flags = this.#readFlags(")");
  }

  #readFlags(end: string): Flags {
    let flags = this.#flags;
    let on = true;
    for (let char = this.#next("missing argument to group"); char !== end; char = this.#next("missing closing )")) {
      if (char === "-" && on) on = false;
      else if (char === "i") flags = { ...flags, fold: on };
      else if (char === "m") flags = { ...flags, multiLine: on };
      else if (char === "s") flags = { ...flags, dotAll: on };
      else if (char !== "U") throw new RegexpSyntaxError(`invalid or unsupported Perl syntax: \`(?${char}\``);
    }
    return flags;
  }

  #escape(): RegexpNode {
    const letter = this.#next("trailing backslash at end of expression: ``");
    switch (letter) {
      case "A":
        return { kind: "assert", at: "textStart" };
      case "z":
        return { kind: "assert", at: "textEnd" };
      case "b":
        return { kind: "assert", at: "wordBoundary" };
      case "B":
        return { kind: "assert", at: "noWordBoundary" };
      default: {
        const item = this.#setEscape(letter) ?? rangeItem(this.#charEscape(letter));
        return { kind: "set", set: charSet([item], false, this.#flags.fold) };
      }
    }
  }

  /** An escape that stands for a set of characters, inside a class or outside. */
  #setEscape(letter: string): SetItem | undefined {
    if (letter !== "p" && letter !== "P") return perlItem(letter);
    let name = this.#next("invalid character class range: `\\p`");
    if (name === "{") {
      name = "";
      const missing = "invalid character class range: `\\p{`";
      for (let char = this.#next(missing); char !== "}"; char = this.#next(missing)) name += char;
    }
    return unicodeItem(name, letter === "P");
  }

  /** An escape that stands for one character. */
  #charEscape(letter: string): number {
    const control = controlEscapes.get(letter);
    if (control !== undefined) return control;
    if (letter === "x") return this.#hexEscape();
    if (/[0-7]/.test(letter)) return this.#octalEscape(letter);
    if (codePointOf(letter) < 0x80 && !/[0-9A-Za-z]/.test(letter)) return codePointOf(letter);
    throw new RegexpSyntaxError(`invalid escape sequence: \`\\${letter}\``);
  }

  #hexEscape(): number {
    const rest = this.#chars.slice(this.#at, this.#at + 16).join("");
    const match = /^(?:\{([0-9A-Fa-f]+)\}|([0-9A-Fa-f]{2}))/.exec(rest);
    const value = Number.parseInt(match?.[1] ?? match?.[2] ?? "", 16);
    if (match === null || !(value <= 0x10ffff)) throw new RegexpSyntaxError(`invalid escape sequence: \`\\x\``);
    this.#at += match[0].length;
    return value;
  }

  /** `\0` and up to two digits more; `\12` too, but a single `\1` would be a back reference, which RE2 has not. */
  #octalEscape(first: string): number {
    const rest = this.#chars.slice(this.#at, this.#at + 2).join("");
    const digits = /^[0-7]*/.exec(rest)?.[0] ?? "";
    if (first !== "0" && digits === "") throw new RegexpSyntaxError(`invalid escape sequence: \`\\${first}\``);
    this.#at += digits.length;
    return Number.parseInt(first + digits, 8);
  }

  #class(): CharSet {
    const negated = this.#take("^");
    const items: SetItem[] = [];
    const missing = `missing closing ]: \`${this.#pattern}\``;
    for (let first = true; first || this.#peek() !== "]"; first = false) items.push(this.#classItem(missing));
    this.#at += 1;
    return charSet(items, negated, this.#flags.fold);
  }

  #classItem(missing: string): SetItem {
    const posix = /^\[:(\^?[a-z]*):\]/.exec(this.#chars.slice(this.#at, this.#at + 16).join(""));
    if (posix !== null) {
      this.#at += posix[0].length;
      return posixItem(posix[1] as string);
    }
    const char = this.#next(missing);
    if (char === "\\") {
      const letter = this.#next(missing);
      const item = this.#setEscape(letter);
      if (item !== undefined) return item;
      return this.#classRange(this.#charEscape(letter), missing);
    }
    return this.#classRange(codePointOf(char), missing);
  }

  #classRange(low: number, missing: string): SetItem {
    if (this.#peek() !== "-" || this.#peek(1) === "]" || this.#peek(1) === undefined) return rangeItem(low);
    this.#at += 1;
    const char = this.#next(missing);
    const high = char === "\\" ? this.#charEscape(this.#next(missing)) : codePointOf(char);
    if (high < low) {
      const range = `${String.fromCodePoint(low)}-${String.fromCodePoint(high)}`;
      throw new RegexpSyntaxError(`invalid character class range: \`${range}\``);
    }
    return rangeItem(low, high);
  }
}

const controlEscapes: ReadonlyMap<string, number> = new Map([
  ["a", 7],
  ["f", 12],
  ["t", 9],
  ["n", 10],
  ["r", 13],
  ["v", 11],
]);

function codePointOf(char: string): number {
  return char.codePointAt(0) ?? 0;
}
