import { join } from "node:path";
import type { Command, CommandContext } from "../command.ts";
import { confirmed } from "../confirm.ts";
import { applyInstall } from "../install-apply.ts";
import { itemsOf } from "../install-files.ts";
import { readManifest } from "../install-manifest.ts";
import { type Plan, planInstall } from "../install-plan.ts";
import { installOptions, plainSteps, planLines, programOf, rootOf } from "../install-words.ts";
import { printJson } from "../json.ts";
import { plural } from "../units.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Install lighter on this machine: shows what it would do, and asks",
  usage: "[OPTIONS]",
  description:
    "Writes the executable, systemd units, manual pages and completions below /usr/local, and a configuration in /etc/lighter. A file that lighter did not write is never replaced unless --force says so, a configuration that was changed not even then. What was written is remembered, so that lighter uninstall takes away that and no more; an install that was cut short is done again. It starts nothing.",
  options: [
    ...installOptions,
    { long: "force", help: "Replace files that lighter did not write, or that were changed" },
    { long: "program", value: "FILE", help: "Install this executable (default: the one that runs)" },
  ],
  examples: [
    ["sudo lighter install", "shows the plan, and asks"],
    ["lighter install --dry-run", "only the plan"],
    ["sudo lighter install --yes --root /mnt/image", "into a system that is not running"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const root = rootOf(args);
    const [items, manifest] = [await itemsOf(programOf(args)), readManifest(root)];
    const plan = await planInstall({ root, items, manifest, force: args.flag("force") });
    const lines = textOf(root, plan);
    if (json)
      printJson(output, {
        root,
        folders: plan.folders.map((folder) => join(root, folder)),
        steps: plainSteps(root, plan.steps),
      });
    if (args.flag("dry-run") && !json) for (const line of lines) output.line(line);
    checkRefused(root, plan);
    if (args.flag("dry-run")) return 0;
    if (plan.done) {
      output.note("nothing to do: everything is in its place");
      return 0;
    }
    if (!confirmed(context, lines, "lighter install", "yes")) return 1;
    if (args.flag("yes") && !json) for (const line of lines) output.line(line);
    applyInstall(root, plan);
    sayWhatIsNext(context, plan);
    return 0;
  },
};

function textOf(root: string, { folders, steps }: Plan): string[] {
  const made = folders.length === 0 ? [] : [`${plural(folders.length, "new folder")}:`];
  return [...planLines(root, steps), ...made, ...folders.map((folder) => `  ${join(root, folder)}`)];
}

function checkRefused(root: string, { steps }: Plan): void {
  const refused = steps.filter(({ action }) => action === "refuse");
  if (refused.length === 0) return;
  const named = refused.map(({ path, reason }) => `${join(root, path)} (${reason})`).join(", ");
  throw new CommandError(`nothing was written: ${named}`, {
    hint: "compare and move away what is yours, or give --force to replace it (files and links, no folders)",
  });
}

function sayWhatIsNext({ args, output }: CommandContext, { steps }: Plan): void {
  if (args.has("root")) return;
  const replaced = steps.some(({ action, item }) => action === "replace" && item?.kind === "program");
  output.note("Next:");
  output.note("  sudo systemctl daemon-reload");
  if (replaced)
    output.note("  sudo lighter system upgrade              # a running daemon, while its containers go on");
  output.note("  sudo systemctl enable --now lighter.service");
  output.note("  lighter doctor                           # is everything in place?");
}
