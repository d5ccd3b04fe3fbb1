import { daemonHelp, lighterPlaces } from "../lib/daemon-help.ts";
import { productVersion } from "../lib/version.ts";
import type { Command, CommandEntry } from "./command.ts";
import { commands } from "./commands.ts";
import { leadingOptions } from "./global-options.ts";
import { optionPair } from "./help.ts";
import { optionsOf } from "./main.ts";

/**
 * The manual pages, made of the same tables as --help.
 * Shape: by file name, lighter.1 and lighterd.8; roff of man(7), ASCII alone, without a date, so that the same sources give the same
 * bytes.
 */
export async function manPages(): Promise<ReadonlyMap<string, string>> {
  return new Map([
    ["lighter.1", await commandPage()],
    ["lighterd.8", daemonPage(daemonHelp(lighterPlaces))],
  ]);
}

const groupTitles: Readonly<Record<CommandEntry["group"], string>> = {
  containers: "CONTAINERS",
  images: "IMAGES",
  stores: "STORES",
  system: "SYSTEM",
};

async function commandPage(): Promise<string> {
  const lines = [
    ...head("lighter", 1, "runs and looks after containers, through lighterd or containerd"),
    ".SH SYNOPSIS",
    `.B ${roff("lighter")}`,
    roff("[-a SOCKET] [-n NAMESPACE] COMMAND [...]"),
    ".SH OPTIONS",
    roff("These stand before the command; --address, --namespace and --help after it as well."),
    ...leadingOptions.flatMap((option) => tagged(optionPair(option))),
  ];
  for (const [group, title] of Object.entries(groupTitles)) {
    lines.push(`.SH ${title}`);
    for (const [name, entry] of Object.entries(commands)) {
      if (entry.group !== group || entry.hidden === true || entry.aliasOf !== undefined) continue;
      lines.push(...commandLines(name, (await entry.load()).command));
    }
  }
  return page([...lines, ...closing("lighterd", 8)]);
}

function commandLines(name: string, command: Command): string[] {
  const others = Object.keys(commands).filter((other) => commands[other]?.aliasOf === name);
  const common = new Set(["address", "namespace", "help"]);
  const own = optionsOf(command).filter(({ long, hidden }) => hidden !== true && !common.has(long));
  return [
    `.SS ${roff(`lighter ${name} ${command.usage}`.trimEnd())}`,
    roff(`${command.summary}.`),
    ...(command.description === undefined ? [] : [".PP", roff(command.description)]),
    ...(others.length === 0 ? [] : [".PP", roff(`Also as ${others.map((other) => `lighter ${other}`).join(", ")}.`)]),
    ...own.flatMap((option) => tagged(optionPair(option))),
    ...examples(command.examples),
  ];
}

function examples(pairs: Command["examples"]): string[] {
  if (pairs.length === 0) return [];
  const lines = pairs.flatMap(([line, meaning]) => [roff(`# ${meaning}`), roff(line)]);
  return [".PP", "Examples:", ".PP", ".RS 4", ".nf", ...lines, ".fi", ".RE"];
}

/** Turns a help text, of headings at the left and two columns below them, into a page. */
function daemonPage(help: string): string {
  const [first = "", ...rest] = help.trimEnd().split("\n");
  const lines = head(lighterPlaces.name, 8, first.slice(first.indexOf(": ") + 2));
  const sections = rest.join("\n").split(/\n(?=\S)/);
  for (const section of sections) {
    const [title = "", ...body] = section.trim().split("\n");
    if (title !== "") lines.push(`.SH ${roff(title.replace(/:$/, "").toUpperCase())}`, ...sectionLines(body));
  }
  return page([...lines, ...closing("lighter", 1)]);
}

function sectionLines(body: readonly string[]): string[] {
  const pairs: [string, string][] = [];
  for (const line of body) {
    const [, left, right] = /^ {2,6}(\S.*?)(?: {2,}(\S.*))?$/.exec(line) ?? [];
    const last = pairs.at(-1);
    if (left !== undefined) pairs.push([left, right ?? ""]);
    else if (last !== undefined && line.trim() !== "") last[1] += ` ${line.trim()}`;
  }
  if (pairs.every(([, right]) => right === "")) return [".nf", ...pairs.map(([left]) => roff(left)), ".fi"];
  return pairs.flatMap(tagged);
}

function head(name: string, section: number, summary: string): string[] {
  return [
    `.TH ${name.toUpperCase()} ${section} "" "${roff(`lighter ${productVersion}`)}" ""`,
    // Words are options and paths, which nobody wants broken or spread out.
    ".nh",
    ".ad l",
    ".SH NAME",
    `${roff(name)} \\- ${roff(summary)}`,
  ];
}

function closing(other: string, section: number): string[] {
  return [".SH SEE ALSO", `.BR ${roff(other)} (${section})`];
}

function tagged([left, right]: readonly [string, string]): string[] {
  return [".TP", `.B "${roff(left.trim()).replaceAll('"', "\\(dq")}"`, roff(right)];
}

function page(lines: readonly string[]): string {
  return `${lines.join("\n")}\n`;
}

const named: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** Text as roff prints it letter by letter. Source: groff_char(7), man(7). */
export function roff(text: string): string {
  const escaped = text
    .replaceAll(/\s*\n\s*/g, " ")
    .replaceAll(/[\\\-'`^~]/g, (letter) => named[letter] ?? letter)
    .replaceAll(/[^\u0020-\u007e]/gu, (letter) => `\\[u${hexOf(letter)}]`);
  return escaped.startsWith(".") ? `\\&${escaped}` : escaped;
}

function hexOf(letter: string): string {
  return (letter.codePointAt(0) ?? 0).toString(16).toUpperCase().padStart(4, "0");
}
