import { isTerminalFd } from "./output.ts";
import type { OwnTerminal, TerminalCalls } from "./terminal.ts";
import { CommandError } from "./usage-error.ts";

/**
 * This process's terminal for a container that has one; undefined where there is none, as in a script.
 * Shape: without `interactive` only its size is of interest, and ctrl-c stays a signal.
 * Errors: CommandError when keys shall be passed on and there is no keyboard, as docker has it.
 */
export async function ownTerminal(kernel: TerminalCalls, interactive: boolean): Promise<OwnTerminal | undefined> {
  if (interactive && !isTerminalFd(0)) {
    throw new CommandError("standard input is not a terminal", {
      hint: "leave -t out, or run it in a terminal",
      exitCode: 125,
    });
  }
  const fd = [0, 1].find(isTerminalFd);
  if (fd === undefined) return undefined;
  const { takeTerminal, watchTerminal } = await import("./terminal.ts");
  return interactive ? takeTerminal(kernel) : watchTerminal(kernel, fd);
}
