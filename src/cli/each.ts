import type { CommandContext } from "./command.ts";
import { reportError } from "./report-error.ts";

/**
 * Does the same for each word, one after the other, and goes on after a failure.
 * Shape: answers 0 when all went well, else the code of the last failure.
 */
export async function forEach(
  context: CommandContext,
  words: readonly string[],
  name: string,
  action: (word: string) => Promise<void>,
): Promise<number> {
  let code = 0;
  for (const word of words) {
    try {
      await action(word);
    } catch (error) {
      code = reportError(error, name, context.output);
    }
  }
  return code;
}
