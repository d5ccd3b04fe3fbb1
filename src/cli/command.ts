import type { Client } from "../client/client.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import type { Output } from "./output.ts";

/** What a command finds around it. */
export interface CommandContext {
  readonly args: ParsedArgs;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly address: string;
  readonly namespace: string;
  /** Print JSON in place of a table. */
  readonly json: boolean;
  readonly output: Output;
  /** The daemon; connected on first use, closed when the command ends. */
  readonly client: Client;
}

/** What a word of the command line may be, for completion. */
export type WordKind =
  | "container"
  | "image"
  | "namespace"
  | "content"
  | "ingest"
  | "snapshot"
  | "lease"
  | "file"
  | "command"
  | "shell"
  | "none";

/** One command, or one of a group's. */
export interface Command {
  readonly summary: string;
  /** After the command's name, e.g. `[OPTIONS] IMAGE [COMMAND...]`. */
  readonly usage: string;
  readonly description?: string;
  readonly options: readonly OptionSpec[];
  /** A command line and what it does. */
  readonly examples: readonly (readonly [string, string])[];
  /** The words after the options belong to the container. */
  readonly stopAtWord?: boolean;
  /** Options that other tools have, and what to do without them. */
  readonly foreign?: Readonly<Record<string, string>>;
  /** How many words there must and may be. */
  readonly words: readonly [number, number];
  readonly completes?: WordKind;
  /** Prints a table, so that --json applies. */
  readonly json?: boolean;
  /** Answers the exit code. */
  run(context: CommandContext): Promise<number> | number;
}

/** How a command is found without loading it. */
export interface CommandEntry {
  readonly summary: string;
  readonly group: "containers" | "images" | "stores" | "system";
  readonly load: () => Promise<{ readonly command: Command }>;
  readonly hidden?: boolean;
  /** What it is another name of. */
  readonly aliasOf?: string;
}
