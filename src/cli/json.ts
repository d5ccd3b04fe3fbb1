import type { Output } from "./output.ts";

/** Prints a value as JSON; 64-bit numbers as numbers where they fit, else as text; bytes in base64; no type names. */
export function printJson(output: Output, value: unknown): void {
  output.line(JSON.stringify(value, plainJson, 2));
}

/** The same on one line, for streams. */
export function jsonLine(value: unknown): string {
  return JSON.stringify(value, plainJson);
}

function plainJson(key: string, value: unknown): unknown {
  if (key === "$typeName") return undefined;
  if (typeof value === "bigint") {
    const number = Number(value);
    return Number.isSafeInteger(number) ? number : value.toString();
  }
  return value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
}
