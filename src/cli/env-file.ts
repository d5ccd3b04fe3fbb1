import { readFileSync } from "node:fs";
import { messageOf } from "../lib/faults.ts";
import { UsageError } from "./usage-error.ts";

/** The variables of a file: `NAME=VALUE` or `NAME` a line, `#` begins a comment line. Errors: UsageError. */
export function readEnvFile(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    throw new UsageError(`option --env-file: ${messageOf(error)}`);
  }
  return text
    .split(/\r?\n/)
    .map((line) => line.trimStart())
    .filter((line) => line !== "" && !line.startsWith("#"));
}
