/** A quoted value that is not one. */
export class QuoteSyntaxError extends Error {
  constructor() {
    super("quote syntax error");
    this.name = "QuoteSyntaxError";
  }
}

const simpleEscapes: ReadonlyMap<string, number> = new Map([
  ["a", 7],
  ["b", 8],
  ["f", 12],
  ["n", 10],
  ["r", 13],
  ["t", 9],
  ["v", 11],
  ["\\", 0x5c],
]);

const hexDigits: ReadonlyMap<string, number> = new Map([
  ["x", 2],
  ["u", 4],
  ["U", 8],
]);

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/**
 * The value of a literal in Go's string syntax, between `"`, `/` or `|`.
 * Shape: escapes may name bytes (`\xe4`); bytes that are no UTF-8 in the end become U+FFFD.
 * Errors: QuoteSyntaxError.
 * Source: Go strconv.Unquote; containerd pkg/filters/quote.go for the two other quotes.
 */
export function goUnquote(literal: string): string {
  const quote = literal[0];
  if (literal.length < 2 || quote !== literal.at(-1) || (quote !== '"' && quote !== "/" && quote !== "|")) {
    throw new QuoteSyntaxError();
  }
  const body = literal.slice(1, -1);
  if (body.includes("\n")) throw new QuoteSyntaxError();
  if (!body.includes("\\") && !body.includes(quote)) return body;
  return unescape(body, quote);
}

function unescape(body: string, quote: string): string {
  const bytes: number[] = [];
  let index = 0;
  while (index < body.length) {
    const char = String.fromCodePoint(body.codePointAt(index) as number);
    if (char === quote) throw new QuoteSyntaxError();
    index += char.length;
    if (char === "\\") index += readEscape(body, index, quote, bytes);
    else bytes.push(...encoder.encode(char));
  }
  return decoder.decode(Uint8Array.from(bytes));
}

/** Decodes what follows a backslash into bytes; returns how many characters it took. */
function readEscape(body: string, index: number, quote: string, bytes: number[]): number {
  const letter = body[index];
  if (letter === undefined) throw new QuoteSyntaxError();
  const simple = letter === quote ? quote.charCodeAt(0) : simpleEscapes.get(letter);
  if (simple !== undefined) {
    bytes.push(simple);
    return 1;
  }
  const digits = hexDigits.get(letter);
  if (digits === undefined) return readOctal(body.slice(index, index + 3), bytes);
  const hex = body.slice(index + 1, index + 1 + digits);
  if (hex.length !== digits || !/^[0-9A-Fa-f]+$/.test(hex)) throw new QuoteSyntaxError();
  const value = Number.parseInt(hex, 16);
  if (value > 0x10ffff) throw new QuoteSyntaxError();
  if (letter === "x") bytes.push(value);
  else bytes.push(...encoder.encode(String.fromCodePoint(value)));
  return 1 + digits;
}

function readOctal(text: string, bytes: number[]): number {
  const value = /^[0-7]{3}$/.test(text) ? Number.parseInt(text, 8) : Number.NaN;
  if (!(value <= 255)) throw new QuoteSyntaxError();
  bytes.push(value);
  return 3;
}
