/** What a host asks for in WWW-Authenticate. */
export interface Challenge {
  /** In lower case: `basic`, `bearer`. */
  readonly scheme: string;
  /** Keys in lower case. */
  readonly parameters: ReadonlyMap<string, string>;
}

const token = /[!#$%&'*+.^_`|~0-9A-Za-z-]+/y;
const quoted = /"((?:[^"\\]|\\.)*)"/y;
/** A value without quotes; some hosts leave them out around addresses too. */
const bare = /[^\s,"]+/y;
/** More of them than this are not meant. */
const maxChallenges = 32;

/**
 * Reads the challenges of a WWW-Authenticate header, several headers being joined by commas.
 * Shape: Bearer before Basic, as a token says less than a password; what cannot be read is left out.
 * Source: RFC 9110, 11.6.1.
 */
export function parseChallenges(header: string): readonly Challenge[] {
  const scanner = new Scanner(header.slice(0, 16_384));
  const challenges: { scheme: string; parameters: Map<string, string> }[] = [];
  while (!scanner.ended && challenges.length < maxChallenges) {
    scanner.skip(/[\s,]+/y);
    const name = scanner.take(token)?.[0].toLowerCase();
    if (name === undefined) {
      scanner.skip(/./sy);
      continue;
    }
    const current = challenges.at(-1);
    if (current !== undefined && scanner.take(/\s*=\s*/y) !== undefined) {
      const value = scanner.take(quoted)?.[1]?.replace(/\\(.)/g, "$1") ?? scanner.take(bare)?.[0] ?? "";
      if (!current.parameters.has(name)) current.parameters.set(name, value);
    } else challenges.push({ scheme: name, parameters: new Map() });
  }
  return challenges.toSorted((a, b) => rank(a.scheme) - rank(b.scheme));
}

function rank(scheme: string): number {
  return scheme === "bearer" ? 0 : scheme === "basic" ? 1 : 2;
}

class Scanner {
  readonly #text: string;
  #at = 0;

  constructor(text: string) {
    this.#text = text;
  }

  get ended(): boolean {
    return this.#at >= this.#text.length;
  }

  take(pattern: RegExp): RegExpExecArray | undefined {
    pattern.lastIndex = this.#at;
    const match = pattern.exec(this.#text);
    if (match === null) return undefined;
    this.#at = pattern.lastIndex;
    return match;
  }

  skip(pattern: RegExp): void {
    this.take(pattern);
  }
}
