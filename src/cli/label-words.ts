import { UsageError } from "./usage-error.ts";

/** Labels as words: `key=value` sets one, `key=` and `key-` take one away. Errors: UsageError. */
export function parseLabels(words: readonly string[]): Record<string, string> {
  const labels: Record<string, string> = Object.create(null);
  for (const word of words) {
    const equals = word.indexOf("=");
    if (equals > 0) labels[word.slice(0, equals)] = word.slice(equals + 1);
    else if (equals < 0 && word.length > 1 && word.endsWith("-")) labels[word.slice(0, -1)] = "";
    else throw new UsageError(`${JSON.stringify(word)} is no label`, "write it as key=value, or key- to take it away");
  }
  return labels;
}
