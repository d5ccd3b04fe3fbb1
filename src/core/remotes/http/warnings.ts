/** More warnings than this in one answer are not read. */
const maxWarnings = 8;

/**
 * The texts of the warnings that a registry sends for people: those of code 299 and agent `-`.
 * Source: OCI distribution-spec, Warnings; RFC 7234, 5.5.
 */
export function parseWarnings(header: string | null): readonly string[] {
  if (header === null) return [];
  const found = [...header.slice(0, 16_384).matchAll(/299 - "((?:[^"\\]|\\.)*)"/g)].slice(0, maxWarnings);
  return found.map(([, text]) => printable((text as string).replace(/\\(.)/g, "$1"))).filter((text) => text !== "");
}

function printable(text: string): string {
  return text.replace(/[^\P{C}]/gu, " ").trim();
}
