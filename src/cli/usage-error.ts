/** How ids and names of namespaces look. */
export const identifierHint = "letters and digits, joined by single dots, dashes or underscores, at most 76 of them";

/** The command line itself is wrong: told with a hint and the way to the help. */
export class UsageError extends Error {
  readonly hint: string | undefined;
  constructor(message: string, hint?: string) {
    super(message);
    this.name = "UsageError";
    this.hint = hint;
  }
}

/** A failure that already knows what the user should do next, or with which code the command ends. */
export class CommandError extends Error {
  readonly hint: string | undefined;
  readonly exitCode: number;
  constructor(message: string, options: { hint?: string | undefined; exitCode?: number; cause?: unknown } = {}) {
    super(message, { cause: options.cause });
    this.name = "CommandError";
    this.hint = options.hint;
    this.exitCode = options.exitCode ?? 1;
  }
}
