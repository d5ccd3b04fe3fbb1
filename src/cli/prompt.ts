import { closeSync, openSync, readSync } from "node:fs";
import { ReadStream } from "node:tty";
import { isTerminalFd, writeAll } from "./output.ts";
import { CommandError } from "./usage-error.ts";

const [ctrlC, ctrlD, ctrlU, backspace, del] = [0x03, 0x04, 0x15, 0x08, 0x7f];

/** Asks for a line. Errors: CommandError where there is no terminal to ask at. */
export function askLine(question: string): string {
  requireTerminal();
  writeAll(2, question);
  const tty = openSync("/dev/tty", "r");
  try {
    const bytes = Buffer.alloc(4096);
    const count = readSync(tty, bytes);
    return bytes
      .subarray(0, count)
      .toString()
      .replace(/\r?\n$/, "")
      .trim();
  } finally {
    closeSync(tty);
  }
}

/**
 * Asks for a line that is not shown.
 * Errors: CommandError where there is no terminal to ask at, or after ctrl-c.
 * Effects: the terminal is put back however this ends.
 */
export async function askSecret(question: string): Promise<string> {
  requireTerminal();
  const keyboard = new ReadStream(0);
  // Before the question, so that no key is shown that answers it.
  keyboard.setRawMode(true);
  writeAll(2, question);
  const typed: number[] = [];
  try {
    for await (const chunk of keyboard as AsyncIterable<Uint8Array>) {
      for (const key of chunk) {
        if (key === 0x0d || key === 0x0a) return Buffer.from(typed).toString();
        if (key === ctrlC || (key === ctrlD && typed.length === 0))
          throw new CommandError("nothing was typed", { exitCode: 130 });
        if (key === backspace || key === del) typed.pop();
        else if (key === ctrlU) typed.length = 0;
        else if (key >= 0x20) typed.push(key);
      }
    }
    return Buffer.from(typed).toString();
  } finally {
    keyboard.setRawMode(false);
    keyboard.destroy();
    writeAll(2, "\n");
  }
}

function requireTerminal(): void {
  if (isTerminalFd(0) && isTerminalFd(2)) return;
  throw new CommandError("there is no terminal to ask at", { hint: "give --user NAME and --password-stdin" });
}
