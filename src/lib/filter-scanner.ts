/** What a filter's text is made of. A `rune` is any character that starts none of the others. */
export type TokenKind = "end" | "illegal" | "quoted" | "value" | "field" | "separator" | "operator" | "rune";

export interface Token {
  readonly kind: TokenKind;
  readonly text: string;
  /** Where it starts, in UTF-16 units. */
  readonly at: number;
}

const end = -1;
const illegal = -2;

const spacePattern = /^\p{White_Space}$/u;
const valuePattern = /^[\p{L}\p{M}\p{N}\p{P}\p{S}\p{Zs}]$/u;

/**
 * Cuts a filter's text into tokens.
 * Its look ahead and its positions are those of containerd, whose error texts show them.
 * Source: containerd pkg/filters/scanner.go.
 */
export class FilterScanner {
  readonly #input: string;
  /** Where the character that was read last starts, and where it ends. */
  #at = 0;
  #after = 0;
  #expectsValue = false;
  /** Why the last token is illegal. */
  problem = "";

  constructor(input: string) {
    this.#input = input;
  }

  /** Where the next character starts. */
  get position(): number {
    return this.#after;
  }

  /** The next character without taking it: `","`, `"end"` and so on. */
  peek(): string {
    const [at, after] = [this.#at, this.#after];
    const char = this.#next();
    [this.#at, this.#after] = [at, after];
    return char === end ? "end" : char === illegal ? "illegal" : String.fromCodePoint(char);
  }

  scan(): Token {
    let char = this.#next();
    while (char >= 0 && !isMark(char) && isSpace(char)) char = this.#next();
    const at = this.#at;
    if (char === end) return { kind: "end", text: "", at };
    if (char === illegal) return { kind: "illegal", text: "", at };
    const kind = this.#finish(char);
    return { kind, text: this.#input.slice(at, this.#after), at: kind === "rune" ? this.#at : at };
  }

  /** Takes the rest of the token that starts with this character. */
  #finish(char: number): TokenKind {
    if (isQuote(char)) return this.#finishQuoted(char) ? "quoted" : "illegal";
    if (isSeparator(char)) {
      this.#expectsValue = false;
      return "separator";
    }
    if (isOperator(char)) {
      this.#takeWhile(isOperator);
      this.#expectsValue = true;
      return "operator";
    }
    if (this.#expectsValue) {
      this.#takeWhile(isValue);
      this.#expectsValue = false;
      return "value";
    }
    if (!isField(char)) return "rune";
    this.#takeWhile(isField);
    return "field";
  }

  #next(): number {
    if (this.#at >= this.#input.length) return end;
    this.#at = this.#after;
    const char = this.#input.codePointAt(this.#at);
    if (char === undefined) return end;
    this.#after += char > 0xffff ? 2 : 1;
    if (char === 0xfffd) return this.#refuse("rune error");
    return char === 0 ? this.#refuse("unexpected null") : char;
  }

  #refuse(problem: string): number {
    if (this.problem === "") this.problem = problem;
    return illegal;
  }

  #takeWhile(belongs: (char: number) => boolean): void {
    for (;;) {
      const [at, after] = [this.#at, this.#after];
      if (belongs(this.#next())) continue;
      [this.#at, this.#after] = [at, after];
      return;
    }
  }

  #finishQuoted(quote: number): boolean {
    let legal = true;
    let char = this.#next();
    while (char !== quote) {
      if (char === 0x0a || char < 0) {
        this.#refuse("quoted literal not terminated");
        return false;
      }
      if (char !== 0x5c) {
        char = this.#next();
        continue;
      }
      const escaped = this.#finishEscape(quote);
      legal &&= escaped.legal;
      char = escaped.char;
    }
    return legal;
  }

  #finishEscape(quote: number): { char: number; legal: boolean } {
    const char = this.#next();
    if (char === quote || (char > 0 && "abfnrtv\\".includes(String.fromCodePoint(char)))) {
      return { char: this.#next(), legal: true };
    }
    if (char >= 0x30 && char <= 0x37) return this.#finishDigits(char, 8, 3);
    if (char === 0x78) return this.#finishDigits(this.#next(), 16, 2);
    if (char === 0x75) return this.#finishDigits(this.#next(), 16, 4);
    if (char === 0x55) return this.#finishDigits(this.#next(), 16, 8);
    this.#refuse("illegal escape sequence");
    return { char, legal: false };
  }

  #finishDigits(first: number, base: number, count: number): { char: number; legal: boolean } {
    let char = first;
    for (let left = count; left > 0; left--) {
      const digit = char < 0 ? Number.NaN : Number.parseInt(String.fromCodePoint(char), base);
      if (Number.isNaN(digit)) {
        this.#refuse("illegal numeric escape sequence");
        return { char, legal: false };
      }
      char = this.#next();
    }
    return { char, legal: true };
  }
}

function isQuote(char: number): boolean {
  return char === 0x2f || char === 0x7c || char === 0x22;
}

function isSeparator(char: number): boolean {
  return char === 0x2c || char === 0x2e;
}

function isOperator(char: number): boolean {
  return char === 0x3d || char === 0x21 || char === 0x7e;
}

function isMark(char: number): boolean {
  return isQuote(char) || isSeparator(char) || isOperator(char);
}

function isField(char: number): boolean {
  return (
    char === 0x5f || (char >= 0x30 && char <= 0x39) || (char >= 0x41 && char <= 0x5a) || (char >= 0x61 && char <= 0x7a)
  );
}

function isSpace(char: number): boolean {
  return spacePattern.test(String.fromCodePoint(char));
}

function isValue(char: number): boolean {
  if (char < 0 || char === 0x2c) return false;
  const text = String.fromCodePoint(char);
  return !spacePattern.test(text) && valuePattern.test(text);
}
