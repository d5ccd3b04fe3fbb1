import type { OptionSpec } from "./args.ts";
import type { Command } from "./command.ts";
import { commands, groupNames } from "./commands.ts";
import { leadingOptions } from "./global-options.ts";
import { optionsOf } from "./main.ts";
import type { Output } from "./output.ts";
import { type Style, styleOf } from "./style.ts";
import { wrapped } from "./wrap.ts";

/** Prints the help of a command, of a group, or of everything for an empty name. */
export async function printHelp(name: string, output: Output): Promise<void> {
  const style = styleOf(output.color);
  const entry = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry !== undefined) printCommand(name, (await entry.load()).command, output, style);
  else if (groupNames.includes(name)) printGroup(name, output, style);
  else printOverview(output, style);
}

function printOverview(output: Output, style: Style): void {
  output.line("lighter runs and looks after containers, through lighterd or containerd.");
  output.line("");
  output.line(`${style.bold("Usage:")}  lighter [-a SOCKET] [-n NAMESPACE] COMMAND [...]`);
  for (const group of ["containers", "images", "stores", "system"] as const) {
    output.line("");
    output.line(style.bold(`${group[0]?.toUpperCase()}${group.slice(1)}:`));
    const listed = Object.entries(commands).filter(([, entry]) => entry.group === group && entry.aliasOf === undefined);
    printPairs(group === "stores" ? storePairs() : listed.map(([name, { summary }]) => [name, summary]), output);
  }
  output.line("");
  output.line(style.bold("Options:"));
  printPairs(leadingOptions.map(optionPair), output);
  output.line("");
  output.line(style.bold("Start here:"));
  output.line("  lighter doctor                                  is everything in place?");
  output.line("  lighter image from-rootfs ./rootfs mybox        make an image of a folder");
  output.line("  lighter run --rm -it mybox sh                   a shell in a new container");
  output.line("");
  output.line("lighter COMMAND --help tells more of each command.");
}

const storeSummaries: Readonly<Record<string, string>> = {
  content: "Blobs, packed as they came from a registry",
  snapshot: "Layers and roots of containers, unpacked",
  lease: "What keeps things from garbage collection",
};

/** Of these few want to see every command at once. */
function storePairs(): [string, string][] {
  return Object.entries(storeSummaries).map(([group, summary]) => {
    const names = Object.keys(commands).filter((name) => name.startsWith(`${group} `));
    return [group, `${summary}: ${names.map((name) => name.slice(group.length + 1)).join(", ")}`];
  });
}

function printGroup(name: string, output: Output, style: Style): void {
  output.line(`${style.bold("Usage:")}  lighter ${name} COMMAND [...]`);
  output.line("");
  output.line(style.bold("Commands:"));
  const listed = Object.entries(commands).filter(
    ([key, entry]) => key.startsWith(`${name} `) && entry.aliasOf === undefined,
  );
  printPairs(
    listed.map(([key, { summary }]) => [key.slice(name.length + 1), summary]),
    output,
  );
  output.line("");
  output.line(`lighter ${name} COMMAND --help tells more of each.`);
}

function printCommand(name: string, command: Command, output: Output, style: Style): void {
  output.line(`${style.bold("Usage:")}  lighter ${name} ${command.usage}`.trimEnd());
  output.line("");
  output.line(command.summary);
  if (command.description !== undefined) {
    output.line("");
    for (const line of wrapped(command.description, Math.min(output.columns, 100))) output.line(line);
  }
  output.line("");
  output.line(style.bold("Examples:"));
  for (const [line, meaning] of command.examples) {
    output.line(`  ${style.dim(`# ${meaning}`)}`);
    output.line(`  ${line}`);
  }
  output.line("");
  output.line(style.bold("Options:"));
  printPairs(
    optionsOf(command)
      .filter(({ hidden }) => hidden !== true)
      .map(optionPair),
    output,
  );
}

/** An option as the help has it, and what it does. */
export function optionPair(option: OptionSpec): [string, string] {
  const short = option.short === undefined || option.short === "" ? "    " : `-${option.short}, `;
  const value = option.value === undefined ? "" : ` ${option.value}`;
  const aliases = (option.aliases ?? []).map((alias) => `, --${alias}`).join("");
  return [`${short}--${option.long}${aliases}${value}`, option.help];
}

function printPairs(pairs: readonly (readonly [string, string])[], output: Output): void {
  const width = Math.max(...pairs.map(([left]) => left.length));
  for (const [left, right] of pairs) {
    const lines = wrapped(right, Math.max(30, Math.min(output.columns, 110) - width - 4));
    lines.forEach((line, i) => output.line(`  ${(i === 0 ? left : "").padEnd(width)}  ${line}`));
  }
}
