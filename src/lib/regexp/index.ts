import { compileMatcher, type Matcher } from "./matcher.ts";
import { parseRegexp } from "./parser.ts";
import { RegexpSyntaxError } from "./syntax.ts";

export type { Matcher } from "./matcher.ts";
export { RegexpSyntaxError } from "./syntax.ts";

/** The longest pattern. Labels and names, which are what it is held against, are shorter than that themselves. */
const maxPatternLength = 4096;

/**
 * Compiles a regular expression from a client: RE2's syntax and meaning, as Go programs expect, and time linear in the text.
 * JavaScript's own engine would do neither: it lacks RE2's syntax, and it backtracks.
 * Errors: RegexpSyntaxError.
 */
export function compileRegexp(pattern: string): Matcher {
  if (pattern.length > maxPatternLength) throw new RegexpSyntaxError("expression too large");
  return compileMatcher(parseRegexp(pattern));
}
