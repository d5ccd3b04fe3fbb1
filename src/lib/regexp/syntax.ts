/** A regular expression as a tree. Greediness and groups are gone: they don't change whether a text matches. */
export type RegexpNode =
  | { readonly kind: "empty" }
  | { readonly kind: "set"; readonly set: CharSet }
  | { readonly kind: "assert"; readonly at: Assertion }
  | { readonly kind: "sequence"; readonly parts: readonly RegexpNode[] }
  | { readonly kind: "choice"; readonly parts: readonly RegexpNode[] }
  | { readonly kind: "repeat"; readonly part: RegexpNode; readonly min: number; readonly max: number };

export type Assertion = "textStart" | "textEnd" | "lineStart" | "lineEnd" | "wordBoundary" | "noWordBoundary";

/** Tells whether a code point is in a set. */
export type CharSet = (codePoint: number) => boolean;

/** What is wrong with a pattern. */
export class RegexpSyntaxError extends Error {
  constructor(message: string) {
    super(`error parsing regexp: ${message}`);
    this.name = "RegexpSyntaxError";
  }
}
