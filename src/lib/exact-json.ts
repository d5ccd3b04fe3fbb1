/** What the language has and its type declarations lack. Source: TC39's JSON.parse source text access. */
interface ExactJson {
  parse(
    text: string,
    reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
  ): unknown;
  rawJSON(text: string): unknown;
}

/**
 * Parses a document whose numbers are written again as they were: a limit without end, 18446744073709551615, is no double.
 * Shape: a number that would be written otherwise is opaque; everything else is as JSON.parse gives it. Errors: SyntaxError.
 */
export function parseExactJson(text: string): unknown {
  const json = JSON as unknown as ExactJson;
  return json.parse(text, (_key, value, { source }) =>
    typeof value === "number" && source !== undefined && String(value) !== source ? json.rawJSON(source) : value,
  );
}
