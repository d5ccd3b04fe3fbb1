import type { OptionSpec } from "./args.ts";
import type { Command, CommandContext, WordKind } from "./command.ts";
import { commands, groupNames, otherWords } from "./commands.ts";
import { leadingOptions } from "./global-options.ts";
import { optionsOf } from "./main.ts";
import { signalNumbers } from "./signals.ts";
import { isStoreKind, snapshotterWords, storeWords } from "./store-candidates.ts";

/** What a word may become, and what that means. */
export interface Candidate {
  readonly word: string;
  readonly note: string;
}

/** A shell waits for this while somebody presses tab. */
const timeoutMs = 1500;
const files: readonly Candidate[] = [{ word: ":files", note: "" }];

/**
 * What the last of these words may become.
 * Shape: words after `lighter`, the last one unfinished; the one answer `:files` stands for file names.
 */
export async function candidates(context: CommandContext, words: readonly string[]): Promise<readonly Candidate[]> {
  const current = words.at(-1) ?? "";
  const before = words.slice(0, -1);
  const found = await candidatesFor(context, before, current);
  return found === files ? files : found.filter(({ word }) => word.startsWith(current));
}

async function candidatesFor(
  context: CommandContext,
  before: readonly string[],
  current: string,
): Promise<readonly Candidate[]> {
  const start = firstWord(before, leadingOptions);
  if (start === undefined) {
    const pending = valueOption(before.at(-1), leadingOptions);
    if (pending !== undefined) return await valuesOf(context, pending);
    return current.startsWith("-") ? optionWords(leadingOptions) : topWords();
  }
  const [first = "", second] = before.slice(start, start + 2).map((word) => otherWords[word] ?? word);
  const inGroup = groupNames.includes(first);
  if (inGroup && second === undefined) return groupWords(first);
  const entry = commands[inGroup ? `${first} ${second}` : first];
  if (entry === undefined) return [];
  const { command } = await entry.load();
  return await commandWords(context, command, before.slice(start + (inGroup ? 2 : 1)), current);
}

async function commandWords(
  context: CommandContext,
  command: Command,
  before: readonly string[],
  current: string,
): Promise<readonly Candidate[]> {
  const options = optionsOf(command);
  const position = countWords(before, options);
  if (command.stopAtWord === true && position > 0) return files;
  const pending = valueOption(before.at(-1), options);
  if (pending !== undefined) return await valuesOf(context, pending);
  const equals = /^(--[^=]+)=/.exec(current);
  if (equals !== null) return await valuesAfterEquals(context, equals[1] ?? "", options);
  if (current.startsWith("-")) return optionWords(options);
  if (position >= command.words[1]) return [];
  const kind = command.completes ?? "none";
  const taken = new Set(before);
  const found = await wordsOf(context, kind);
  return found === files ? files : found.filter(({ word }) => !taken.has(word));
}

/** The words of a value: its choices, names that the daemon knows, or files. */
async function valuesOf(context: CommandContext, option: OptionSpec): Promise<readonly Candidate[]> {
  if (option.choices !== undefined) return option.choices.map((word) => ({ word, note: "" }));
  if (option.value === "SIGNAL") return Object.keys(signalNumbers).map((word) => ({ word, note: "" }));
  if (option.long === "namespace") return await wordsOf(context, "namespace");
  if (option.long === "snapshotter") return await snapshotterWords(context.client, timeoutMs);
  return files;
}

async function valuesAfterEquals(
  context: CommandContext,
  name: string,
  options: readonly OptionSpec[],
): Promise<readonly Candidate[]> {
  const option = options.find(({ long }) => `--${long}` === name);
  const values = option?.value === undefined ? [] : await valuesOf(context, option);
  return values === files ? files : values.map(({ word, note }) => ({ word: `${name}=${word}`, note }));
}

function topWords(): Candidate[] {
  const single = Object.entries(commands).filter(([name, { aliasOf }]) => !name.includes(" ") && aliasOf === undefined);
  return [
    ...single.map(([word, { summary }]) => ({ word, note: summary })),
    ...groupNames.map((word) => ({ word, note: `${groupWords(word).length} commands` })),
  ];
}

function groupWords(group: string): Candidate[] {
  return Object.entries(commands)
    .filter(([name, { aliasOf }]) => name.startsWith(`${group} `) && aliasOf === undefined)
    .map(([name, { summary }]) => ({ word: name.slice(group.length + 1), note: summary }));
}

function optionWords(options: readonly OptionSpec[]): Candidate[] {
  return options.filter(({ hidden }) => hidden !== true).map(({ long, help }) => ({ word: `--${long}`, note: help }));
}

/** The option that a word leaves waiting for its value. */
function valueOption(word: string | undefined, options: readonly OptionSpec[]): OptionSpec | undefined {
  if (word === undefined || !word.startsWith("-") || word.includes("=")) return undefined;
  const option = word.startsWith("--")
    ? options.find(({ long, aliases }) => `--${long}` === word || aliases?.includes(word.slice(2)) === true)
    : options.find(({ short }) => short !== undefined && short !== "" && word.endsWith(short));
  return option?.value === undefined ? undefined : option;
}

function isPlain(word: string, previous: string | undefined, options: readonly OptionSpec[]): boolean {
  return !word.startsWith("-") && valueOption(previous, options) === undefined;
}

function firstWord(words: readonly string[], options: readonly OptionSpec[]): number | undefined {
  const at = words.findIndex((word, i) => isPlain(word, words[i - 1], options));
  return at < 0 ? undefined : at;
}

function countWords(words: readonly string[], options: readonly OptionSpec[]): number {
  return words.filter((word, i) => isPlain(word, words[i - 1], options)).length;
}

async function wordsOf(context: CommandContext, kind: WordKind): Promise<readonly Candidate[]> {
  const { client } = context;
  if (isStoreKind(kind)) return await storeWords(client, kind, timeoutMs);
  try {
    switch (kind) {
      case "container":
        return (await client.containers.list({}, { timeoutMs })).containers.map(({ id, image }) => ({
          word: id,
          note: image,
        }));
      case "image":
        return (await client.images.list({}, { timeoutMs })).images.map(({ name }) => ({ word: name, note: "" }));
      case "namespace":
        return (await client.namespaces.list({}, { timeoutMs })).namespaces.map(({ name }) => ({
          word: name,
          note: "",
        }));
      case "command":
        return topWords();
      case "shell":
        return ["bash", "zsh", "fish"].map((word) => ({ word, note: "" }));
      case "file":
        return files;
      case "none":
        return [];
    }
  } catch {
    // Without a daemon there is nothing to offer.
    return [];
  }
}
