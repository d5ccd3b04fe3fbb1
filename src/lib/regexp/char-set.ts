import { type CharSet, RegexpSyntaxError } from "./syntax.ts";

/** One member of a class: the body of a JavaScript class of one character, perhaps to be turned round. */
export interface SetItem {
  readonly source: string;
  readonly negated: boolean;
}

const asciiSize = 128;

/**
 * Builds a set of code points; `fold` makes it blind to case.
 * JavaScript's own engine answers for single characters, where it has Unicode's tables and simple case folding as RE2 has, and
 * where nothing can backtrack. ASCII is answered from a table.
 */
export function charSet(items: readonly SetItem[], negated: boolean, fold: boolean): CharSet {
  const tests = items.map((item) => itemTest(item, fold));
  const slow = (codePoint: number): boolean => tests.some((test) => test(codePoint)) !== negated;
  const ascii = new Uint8Array(asciiSize);
  for (let codePoint = 0; codePoint < asciiSize; codePoint++) ascii[codePoint] = slow(codePoint) ? 1 : 0;
  return (codePoint) => (codePoint < asciiSize ? ascii[codePoint] === 1 : slow(codePoint));
}

function itemTest({ source, negated }: SetItem, fold: boolean): CharSet {
  const pattern = new RegExp(`^[${source}]$`, fold ? "iu" : "u");
  return (codePoint) => pattern.test(String.fromCodePoint(codePoint)) !== negated;
}

/** The item of one code point, or of a range. */
export function rangeItem(low: number, high: number = low): SetItem {
  return { source: `\\u{${low.toString(16)}}-\\u{${high.toString(16)}}`, negated: false };
}

/** Perl's classes, which RE2 keeps to ASCII. */
const perlSources: ReadonlyMap<string, string> = new Map([
  ["d", "0-9"],
  ["s", "\\t\\n\\f\\r "],
  ["w", "0-9A-Za-z_"],
]);

const posixSources: ReadonlyMap<string, string> = new Map([
  ["alnum", "0-9A-Za-z"],
  ["alpha", "A-Za-z"],
  ["ascii", "\\x00-\\x7f"],
  ["blank", "\\t "],
  ["cntrl", "\\x00-\\x1f\\x7f"],
  ["digit", "0-9"],
  ["graph", "!-~"],
  ["lower", "a-z"],
  ["print", " -~"],
  ["punct", "!-\\/:-@\\[-`\\{-~"],
  ["space", "\\t-\\r "],
  ["upper", "A-Z"],
  ["word", "0-9A-Za-z_"],
  ["xdigit", "0-9A-Fa-f"],
]);

/** `\d`, `\D` and the like; undefined for any other letter. */
export function perlItem(letter: string): SetItem | undefined {
  const source = perlSources.get(letter.toLowerCase());
  return source === undefined ? undefined : { source, negated: letter !== letter.toLowerCase() };
}

/** `[:alpha:]` or `[:^alpha:]`, given what stands between the colons. Errors: RegexpSyntaxError for an unknown name. */
export function posixItem(name: string): SetItem {
  const negated = name.startsWith("^");
  const source = posixSources.get(negated ? name.slice(1) : name);
  if (source === undefined) throw new RegexpSyntaxError(`invalid character class range: \`[:${name}:]\``);
  return { source, negated };
}

/** `\pN`, `\p{Greek}`, `\p{^Greek}` and their `\P`. Errors: RegexpSyntaxError for a name that Unicode doesn't have. */
export function unicodeItem(name: string, inverted: boolean): SetItem {
  const negated = name.startsWith("^") !== inverted;
  const bare = name.startsWith("^") ? name.slice(1) : name;
  if (/^[A-Za-z_]+$/.test(bare)) {
    for (const source of [`\\p{${bare}}`, `\\p{Script=${bare}}`]) {
      if (isClassSource(source)) return { source, negated };
    }
  }
  throw new RegexpSyntaxError(`invalid character class range: \`\\p{${name}}\``);
}

function isClassSource(source: string): boolean {
  try {
    return new RegExp(`[${source}]`, "u").source !== "";
  } catch {
    // Thrown for a name that is no property: that is the answer.
    return false;
  }
}
