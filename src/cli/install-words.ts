import { existsSync, statSync } from "node:fs";
import { join, resolve } from "node:path";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import type { Step } from "./install-plan.ts";
import { tableLines } from "./table.ts";
import { formatBytes } from "./units.ts";
import { CommandError } from "./usage-error.ts";

/** What install and uninstall both take. */
export const installOptions: readonly OptionSpec[] = [
  { long: "root", value: "DIR", help: "The system's root folder, for one that is not running (default /)" },
  { long: "dry-run", help: "Only show what would be done" },
  { long: "yes", short: "y", help: "Don't ask" },
];

/** The folder that --root names. Errors: CommandError when it is none. */
export function rootOf(args: ParsedArgs): string {
  const root = resolve(args.text("root") ?? "/");
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory() === true) return root;
  throw new CommandError(`--root ${JSON.stringify(root)} is not a folder`);
}

/** A plan for people: a line each file. */
export function planLines(root: string, steps: readonly Step[]): string[] {
  return tableLines(
    [
      { title: "ACTION", value: ({ action }) => action },
      { title: "SIZE", value: ({ item, sizeBytes }) => (item?.kind === "link" ? "link" : formatBytes(sizeBytes)) },
      { title: "PATH", value: ({ path }) => join(root, path) },
      { title: "WHY", value: ({ reason }) => reason },
    ],
    steps,
    { width: 0, color: false },
  ).map((line) => line.trimEnd());
}

/** The same for programs. */
export function plainSteps(root: string, steps: readonly Step[]): unknown[] {
  return steps.map(({ action, path, sizeBytes, reason, item }) => ({
    action,
    path: join(root, path),
    sizeBytes,
    ...(reason === "" ? {} : { reason }),
    ...(item?.kind === "link" ? { target: item.target } : {}),
  }));
}

/**
 * The executable that is installed: the one that runs, or the one that was named.
 * Errors: CommandError where neither is a file.
 */
export function programOf(args: ParsedArgs): string {
  const given = args.text("program");
  if (given !== undefined) {
    if (statSync(given, { throwIfNoEntry: false })?.isFile() === true) return resolve(given);
    throw new CommandError(`--program ${JSON.stringify(given)} is not a file`);
  }
  if (Bun.main.startsWith("/$bunfs") && existsSync(process.execPath)) return process.execPath;
  throw new CommandError("this lighter runs from a checkout, and is no single file to install", {
    hint: "npm run build, then sudo dist/lighter install",
  });
}
