import type { OptionSpec } from "./args.ts";
import type { Command, CommandContext, WordKind } from "./command.ts";
import { commands, groupNames, otherWords } from "./commands.ts";
import { leadingOptions } from "./global-options.ts";
import { optionsOf } from "./main.ts";

/** A shell waits for this while somebody presses tab. */
const timeoutMs = 1500;

/**
 * What the last of these words may become.
 * Shape: words after `lighter`, the last one unfinished; the one answer `:files` stands for file names.
 */
export async function candidates(context: CommandContext, words: readonly string[]): Promise<string[]> {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const start = firstWord(before, leadingOptions);
  if (start === undefined) return begins(current, [...topWords(), ...optionWords(leadingOptions, current)]);
  const first = otherWords[before[start] ?? ""] ?? before[start] ?? "";
  const inGroup = groupNames.includes(first);
  if (inGroup && before.length === start + 1) return begins(current, groupWords(first));
  const name = inGroup ? `${first} ${otherWords[before[start + 1] ?? ""] ?? before[start + 1]}` : first;
  if (!Object.hasOwn(commands, name)) return [];
  const command = (await commands[name]?.load())?.command;
  if (command === undefined) return [];
  return await commandWords(context, command, before.slice(start + (inGroup ? 2 : 1)), current);
}

async function commandWords(
  context: CommandContext,
  command: Command,
  before: readonly string[],
  current: string,
): Promise<string[]> {
  const options = optionsOf(command);
  const pending = valueOption(before.at(-1), options);
  if (pending !== undefined) return begins(current, pending.choices ?? [":files"]);
  if (current.startsWith("-")) return begins(current, optionWords(options, current));
  const position = countWords(before, options);
  if (command.stopAtWord === true && position > 0) return [":files"];
  return begins(current, await wordsOf(context, command.completes ?? "none"));
}

function begins(current: string, words: readonly string[]): string[] {
  return words.filter((word) => word === ":files" || word.startsWith(current));
}

function topWords(): string[] {
  const single = Object.entries(commands).filter(([name, { aliasOf }]) => !name.includes(" ") && aliasOf === undefined);
  return [...single.map(([name]) => name), ...groupNames];
}

function groupWords(group: string): string[] {
  return Object.entries(commands)
    .filter(([name, { aliasOf }]) => name.startsWith(`${group} `) && aliasOf === undefined)
    .map(([name]) => name.slice(group.length + 1));
}

function optionWords(options: readonly OptionSpec[], current: string): string[] {
  if (!current.startsWith("-")) return [];
  return options.filter(({ hidden }) => hidden !== true).map(({ long }) => `--${long}`);
}

/** The option that a word leaves waiting for its value. */
function valueOption(word: string | undefined, options: readonly OptionSpec[]): OptionSpec | undefined {
  if (word === undefined || !word.startsWith("-") || word.includes("=")) return undefined;
  const option = word.startsWith("--")
    ? options.find(({ long }) => `--${long}` === word)
    : options.find(({ short }) => short !== undefined && short !== "" && word.endsWith(short));
  return option?.value === undefined ? undefined : option;
}

function firstWord(words: readonly string[], options: readonly OptionSpec[]): number | undefined {
  const at = words.findIndex((word, i) => !word.startsWith("-") && valueOption(words[i - 1], options) === undefined);
  return at < 0 ? undefined : at;
}

function countWords(words: readonly string[], options: readonly OptionSpec[]): number {
  return words.filter((word, i) => !word.startsWith("-") && valueOption(words[i - 1], options) === undefined).length;
}

async function wordsOf(context: CommandContext, kind: WordKind): Promise<string[]> {
  const { client } = context;
  try {
    switch (kind) {
      case "container":
        return (await client.containers.list({}, { timeoutMs })).containers.map(({ id }) => id);
      case "image":
        return (await client.images.list({}, { timeoutMs })).images.map(({ name }) => name);
      case "namespace":
        return (await client.namespaces.list({}, { timeoutMs })).namespaces.map(({ name }) => name);
      case "command":
        return topWords();
      case "file":
        return [":files"];
      case "none":
        return [];
    }
  } catch {
    // Without a daemon there is nothing to offer.
    return [];
  }
}
