import type { CommandContext } from "./command.ts";
import { isTerminalFd } from "./output.ts";
import { askLine } from "./prompt.ts";
import { CommandError } from "./usage-error.ts";

/**
 * Asks before something is taken away, unless --force (or another switch of that meaning) says not to.
 * Errors: CommandError where there is no terminal to ask at, with the way to go on without.
 */
export function confirmed(
  { args, output }: CommandContext,
  lines: readonly string[],
  command: string,
  unasked = "force",
): boolean {
  if (args.flag(unasked)) return true;
  if (!isTerminalFd(0) || !output.errorTerminal) {
    throw new CommandError("there is no terminal to ask at", {
      hint: `${command} --${unasked} does it without asking`,
    });
  }
  for (const line of lines) output.note(line);
  return /^y(es)?$/i.test(askLine("Go on? [y/N] "));
}
