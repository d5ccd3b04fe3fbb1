import { type Client, openClient } from "../client/client.ts";
import { defaultAddress } from "../client/paths.ts";
import { checkIdentifier } from "../lib/identifiers.ts";
import { type OptionSpec, type ParsedArgs, parseArgs } from "./args.ts";
import { closest } from "./closest.ts";
import type { Command, CommandContext } from "./command.ts";
import { commands, groupNames, otherWords } from "./commands.ts";
import { globalOptions, jsonOption, leadingOptions } from "./global-options.ts";
import { ClosedOutputError, type Output, processOutput } from "./output.ts";
import { identifierHint, UsageError } from "./usage-error.ts";

type Env = Readonly<Record<string, string | undefined>>;

/**
 * Runs one command line.
 * Shape: answers the exit code: the command's own, 125 for a failure of lighter itself in run and exec, 1 in others,
 * 2 for a command line that makes no sense (125 in run and exec, as docker has it).
 */
export async function main(words: readonly string[], env: Env): Promise<number> {
  const output = processOutput(env);
  let name = "";
  try {
    const leading = parseArgs(words, { options: leadingOptions, stopAtWord: true });
    const found = await findCommand(leading);
    name = found.name;
    if (found.command === undefined) return await showHelp(found.name, output);
    return await runCommand(found.name, found.command, found.words, leading, output, env);
  } catch (error) {
    if (error instanceof ClosedOutputError) return 141;
    const { reportError } = await import("./report-error.ts");
    return reportError(error, name, output);
  }
}

interface FoundCommand {
  readonly name: string;
  /** Undefined when only help was asked for. */
  readonly command: (() => Promise<{ readonly command: Command }>) | undefined;
  readonly words: readonly string[];
}

async function findCommand(leading: ParsedArgs): Promise<FoundCommand> {
  // As docker has it, `container ps` is `ps`.
  const words =
    leading.positional[0] === "container" ? containerWords(leading.positional.slice(1)) : leading.positional;
  const [first, second = "", ...rest] = words;
  if (first === undefined) {
    if (leading.flag("version")) return { name: "version", command: commandAt("version"), words: ["--client"] };
    return { name: "", command: undefined, words: [] };
  }
  const group = otherWords[first] ?? first;
  if (groupNames.includes(group)) {
    const key = `${group} ${otherWords[second] ?? second}`;
    const command = commandAt(key);
    if (command === undefined && second !== "" && !["help", "--help", "-h"].includes(second))
      throw await unknownCommand(key);
    return {
      name: command === undefined ? group : key,
      command: leading.flag("help") ? undefined : command,
      words: rest,
    };
  }
  const command = commandAt(first);
  if (command === undefined) throw await unknownCommand(first);
  return { name: first, command: leading.flag("help") ? undefined : command, words: words.slice(1) };
}

function containerWords([first = "", ...rest]: readonly string[]): readonly string[] {
  return [["ls", "list"].includes(first) ? "ps" : first, ...rest];
}

function commandAt(key: string): (() => Promise<{ readonly command: Command }>) | undefined {
  return Object.hasOwn(commands, key) ? commands[key]?.load : undefined;
}

async function unknownCommand(key: string): Promise<UsageError> {
  const { dockerCommands } = await import("./docker-words.ts");
  const instead = Object.hasOwn(dockerCommands, key) ? dockerCommands[key] : undefined;
  if (instead !== undefined) return new UsageError(`${key} is docker's command and not lighter's`, instead);
  const near = closest(key, Object.keys(commands));
  return new UsageError(
    `unknown command ${JSON.stringify(key)}`,
    near === undefined ? "lighter --help lists the commands" : `did you mean lighter ${near}?`,
  );
}

async function runCommand(
  name: string,
  load: () => Promise<{ readonly command: Command }>,
  words: readonly string[],
  leading: ParsedArgs,
  output: Output,
  env: Env,
): Promise<number> {
  const { command } = await load();
  const args = parseArgs(words, {
    options: optionsOf(command),
    ...(command.stopAtWord === undefined ? {} : { stopAtWord: command.stopAtWord }),
    ...(command.foreign === undefined ? {} : { foreign: command.foreign }),
  });
  if (args.flag("help")) return await showHelp(name, output);
  checkWordCount(command, args, name);
  let client: Client | undefined;
  const address = socketPath(args.text("address") ?? leading.text("address") ?? defaultAddress(env));
  const namespace = namespaceOf(
    args.text("namespace") ?? leading.text("namespace") ?? env["CONTAINERD_NAMESPACE"] ?? "default",
  );
  const context: CommandContext = {
    args,
    env,
    address,
    namespace,
    json: args.flag("json") || leading.flag("json"),
    output,
    get client() {
      client ??= openClient({ address, namespace });
      return client;
    },
  };
  try {
    return await command.run(context);
  } finally {
    client?.[Symbol.dispose]();
  }
}

/** A path may be relative to where the command was started. */
function socketPath(given: string): string {
  return given === "" || given.startsWith("/") || given.includes("://") ? given : `${process.cwd()}/${given}`;
}

function namespaceOf(given: string): string {
  try {
    return checkIdentifier(given);
  } catch {
    throw new UsageError(`namespace ${JSON.stringify(given)} is malformed`, identifierHint);
  }
}

/** A command's options with those that all have; one that a command defines itself goes before. */
export function optionsOf(command: Command): readonly OptionSpec[] {
  const common = command.json === true ? [...globalOptions, jsonOption] : globalOptions;
  const taken = new Set(command.options.flatMap(({ long, short }) => (short === undefined ? [long] : [long, short])));
  return [...command.options, ...common.filter(({ long }) => !taken.has(long))].map((option) =>
    option.short !== undefined && !command.options.includes(option) && taken.has(option.short)
      ? { ...option, short: "" }
      : option,
  );
}

function checkWordCount(command: Command, args: ParsedArgs, name: string): void {
  const [least, most] = command.words;
  const count = args.positional.length;
  if (count < least)
    throw new UsageError(
      `${name} needs ${least === 1 ? "one more word" : `at least ${least} words`}: lighter ${name} ${command.usage}`,
    );
  if (count > most)
    throw new UsageError(
      `${name} takes no ${JSON.stringify(args.positional[most] ?? "")}: lighter ${name} ${command.usage}`,
    );
}

async function showHelp(name: string, output: Output): Promise<number> {
  const { printHelp } = await import("./help.ts");
  await printHelp(name, output);
  return 0;
}
