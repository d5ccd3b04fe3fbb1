import { closest } from "./closest.ts";
import { UsageError } from "./usage-error.ts";

/** One option of a command. */
export interface OptionSpec {
  readonly long: string;
  readonly short?: string;
  /** What the value is, for the help; left out for a switch. */
  readonly value?: string;
  /** May be given more than once. */
  readonly many?: boolean;
  readonly help: string;
  /** Other spellings, not shown. */
  readonly aliases?: readonly string[];
  /** Words that complete the value. */
  readonly choices?: readonly string[];
  /** What to do where another value was meant. */
  readonly hint?: string;
  readonly hidden?: boolean;
}

/** What was on a command line. */
export interface ParsedArgs {
  readonly positional: readonly string[];
  flag(long: string): boolean;
  text(long: string): string | undefined;
  list(long: string): readonly string[];
  has(long: string): boolean;
}

export interface ParseRules {
  readonly options: readonly OptionSpec[];
  /** Everything from the first word that is no option belongs to the container's command. */
  readonly stopAtWord?: boolean;
  /** Options that other tools have, by what is typed, and what to do without them. */
  readonly foreign?: Readonly<Record<string, string>>;
}

/**
 * Takes a command line apart as docker and GNU do: `-it`, `-e A=1`, `-eA=1`, `--env A=1`, `--env=A=1`, `--rm=false`, `--`.
 * It is our own because loading an argument library costs as long as the rest of a short command (docs/dependencies.md).
 * Errors: UsageError that names the word and the nearest option.
 */
export function parseArgs(words: readonly string[], rules: ParseRules): ParsedArgs {
  const values = new Map<string, string[]>();
  const positional: string[] = [];
  let at = 0;
  const next = (name: string): string => {
    const word = words[at++];
    if (word === undefined) throw new UsageError(`option ${name} needs a value`);
    return word;
  };
  while (at < words.length) {
    const word = words[at++] ?? "";
    if (word === "--") {
      positional.push(...words.slice(at));
      break;
    }
    if (word.startsWith("--")) readLong(word, rules, values, next);
    else if (word.startsWith("-") && word !== "-") readShort(word, rules, values, next);
    else {
      positional.push(word);
      if (rules.stopAtWord === true) {
        // A `--` between the image and its command is only a mark.
        const rest = words.slice(at);
        positional.push(...(rest[0] === "--" ? rest.slice(1) : rest));
        break;
      }
    }
  }
  return parsed(positional, values);
}

function parsed(positional: readonly string[], values: ReadonlyMap<string, readonly string[]>): ParsedArgs {
  return {
    positional,
    flag: (long) => values.get(long)?.at(-1) === "true",
    text: (long) => values.get(long)?.at(-1),
    list: (long) => values.get(long) ?? [],
    has: (long) => values.has(long),
  };
}

type Values = Map<string, string[]>;

function readLong(word: string, rules: ParseRules, values: Values, next: (name: string) => string): void {
  const equals = word.indexOf("=");
  const name = equals < 0 ? word.slice(2) : word.slice(2, equals);
  const given = equals < 0 ? undefined : word.slice(equals + 1);
  const option = rules.options.find((candidate) => candidate.long === name || candidate.aliases?.includes(name));
  if (option === undefined) throw unknownOption(`--${name}`, rules);
  if (option.value !== undefined) add(values, option, given ?? next(`--${name}`));
  else add(values, option, switchValue(`--${name}`, given));
}

function switchValue(name: string, given: string | undefined): string {
  if (given === undefined || given === "true" || given === "1") return "true";
  if (given === "false" || given === "0") return "false";
  throw new UsageError(`option ${name} is a switch and takes no value but true or false`);
}

function readShort(word: string, rules: ParseRules, values: Values, next: (name: string) => string): void {
  for (let at = 1; at < word.length; at++) {
    const letter = word[at] ?? "";
    const option = rules.options.find((candidate) => candidate.short === letter);
    if (option === undefined) throw unknownOption(`-${letter}`, rules);
    if (option.value === undefined) {
      add(values, option, "true");
      continue;
    }
    const rest = word.slice(at + 1).replace(/^=/, "");
    add(values, option, rest === "" ? next(`-${letter}`) : rest);
    return;
  }
}

function add(values: Values, option: OptionSpec, value: string): void {
  if (option.choices !== undefined && !option.choices.includes(value)) {
    throw new UsageError(
      `option --${option.long} takes ${option.choices.join(", ")}; not ${JSON.stringify(value)}`,
      option.hint,
    );
  }
  const list = values.get(option.long);
  if (list === undefined) values.set(option.long, [value]);
  else list.push(value);
}

function unknownOption(name: string, { options, foreign = {} }: ParseRules): UsageError {
  const instead = Object.hasOwn(foreign, name) ? foreign[name] : undefined;
  if (instead !== undefined) return new UsageError(`option ${name} is docker's and not lighter's`, instead);
  const near = closest(
    name,
    options.filter(({ hidden }) => hidden !== true).map(({ long }) => `--${long}`),
  );
  return new UsageError(`unknown option ${name}`, near === undefined ? undefined : `did you mean ${near}?`);
}
