import { messageOf } from "../lib/faults.ts";
import type { CommandContext } from "./command.ts";
import { reportError } from "./report-error.ts";

/** So many are worked on at once where their order does not matter. */
const atOnce = 8;

/**
 * Does the same for each word, one after the other, and goes on after a failure.
 * Shape: answers 0 when all went well, else the code of the last failure. A failure whose text does not say of whom it
 * tells gets the word before it.
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
      code = reportError(error, name, context.output, messageOf(error).includes(word) ? undefined : word);
    }
  }
  return code;
}

/** The same for some words at once: for what waits more than it works. */
export async function forAll(
  context: CommandContext,
  words: readonly string[],
  name: string,
  action: (word: string) => Promise<void>,
): Promise<number> {
  const waiting = [...words];
  const worker = async (): Promise<number> => {
    let code = 0;
    for (let word = waiting.shift(); word !== undefined; word = waiting.shift()) {
      code = (await forEach(context, [word], name, action)) || code;
    }
    return code;
  };
  const codes = await Promise.all(Array.from({ length: Math.min(atOnce, words.length) }, worker));
  return codes.find((code) => code !== 0) ?? 0;
}
