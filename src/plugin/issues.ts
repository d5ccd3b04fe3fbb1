import { FaultError, quote } from "../lib/faults.ts";
import type { ConfigNote } from "./config.ts";
import type { ConfigDocument } from "./config-document.ts";
import { nearest } from "./nearest.ts";
import type { ConfigPath, ConfigReport } from "./schema.ts";

/** Gathers what is wrong or odd in a configuration, each with its place. */
export class IssueList {
  readonly #notes: ConfigNote[] = [];
  readonly #wrong: string[] = [];

  get notes(): readonly ConfigNote[] {
    return this.#notes;
  }

  /** A report that places what it is told by the document's lines. */
  reportFor(document: ConfigDocument, file: string): ConfigReport {
    return {
      unknown: (path, known) => {
        const origin = document.origin(path);
        const close = nearest(String(path.at(-1)), known);
        const hint = close === undefined ? "" : `; did you mean ${quote(close)}?`;
        this.warn(origin?.file ?? file, origin?.line, `unknown key ${dotted(path)} is ignored${hint}`);
      },
      invalid: (path, expected, got, example) => {
        const origin = document.origin(path);
        const hint = example === undefined ? "" : `; for example ${exampleOf(path, example)}`;
        this.wrong(
          origin?.file ?? file,
          origin?.line,
          `${dotted(path)}: expected ${expected}, got ${described(got)}${hint}`,
        );
      },
    };
  }

  warn(file: string, line: number | undefined, message: string): void {
    this.#notes.push({ level: "warn", file, line, message });
  }

  inform(file: string, line: number | undefined, message: string): void {
    this.#notes.push({ level: "info", file, line, message });
  }

  wrong(file: string, line: number | undefined, message: string): void {
    this.#wrong.push(`${file}${line === undefined ? "" : `:${line}`}: ${message}`);
  }

  /** Errors: invalidArgument with every mistake on a line of its own. */
  throwIfWrong(): void {
    if (this.#wrong.length > 0) throw new FaultError("invalidArgument", this.#wrong.join("\n"));
  }
}

/** A path as TOML writes it. */
export function dotted(path: ConfigPath): string {
  let text = "";
  for (const key of path) {
    if (typeof key === "number") text += `[${key}]`;
    else text += `${text === "" ? "" : "."}${/^[A-Za-z0-9_-]+$/.test(key) ? key : quote(key)}`;
  }
  return text;
}

/** A line that would do, as it stands in the file. */
function exampleOf(path: ConfigPath, example: string): string {
  const key = path.at(-1);
  return typeof key === "string" ? `${dotted([key])} = ${example}` : example;
}

function described(value: unknown): string {
  if (typeof value === "string") return `the string ${quote(value)}`;
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  return typeof value === "object" ? "a table" : `the ${typeof value} ${JSON.stringify(value)}`;
}
