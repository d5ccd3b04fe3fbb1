import { join } from "node:path";
import { lighterPlaces } from "../../lib/daemon-help.ts";
import type { Command } from "../command.ts";
import { confirmed } from "../confirm.ts";
import { applyUninstall } from "../install-apply.ts";
import { type Manifest, readManifest } from "../install-manifest.ts";
import { removalStep, type Step } from "../install-plan.ts";
import { installOptions, plainSteps, planLines, rootOf } from "../install-words.ts";
import { printJson } from "../json.ts";

const stopFirst = "sudo systemctl disable --now lighter.service lighter.socket";

export const command: Command = {
  summary: "Remove what lighter install wrote",
  usage: "[OPTIONS]",
  description:
    "Takes away the files that lighter install wrote and that nobody changed since, and folders that it made and that are empty. Images, containers and the daemon's state stay. Stop the daemon first; containers go on without it.",
  options: installOptions,
  examples: [
    [stopFirst, "the daemon stops, containers go on"],
    ["sudo lighter uninstall", "shows what goes and what stays, and asks"],
    ["lighter uninstall --dry-run", "only shows it"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const root = rootOf(args);
    const manifest = readManifest(root);
    const steps = manifest === undefined ? [] : await stepsOf(root, manifest);
    if (json) printJson(output, { root, steps: plainSteps(root, steps) });
    if (manifest === undefined) {
      output.note(`nothing to do: lighter install wrote nothing in ${root}`);
      return 0;
    }
    const lines = planLines(root, steps);
    if ((args.flag("dry-run") || args.flag("yes")) && !json) for (const line of lines) output.line(line);
    if (args.flag("dry-run")) return 0;
    const question = args.has("root") ? lines : [...lines, `A daemon that runs is stopped first: ${stopFirst}`];
    if (!confirmed(context, question, "lighter uninstall", "yes")) return 1;
    applyUninstall(root, manifest, steps);
    for (const { action, path } of steps)
      if (action === "keep") output.note(`kept, as it was changed: ${join(root, path)}`);
    const { root: data, state } = lighterPlaces;
    output.note(
      `Images and containers stay in ${join(root, data)}; where they are not wanted, and the daemon is stopped:`,
    );
    output.note(`  sudo rm -rf ${quoted(join(root, data))} ${quoted(join(root, state))}`);
    return 0;
  },
};

/** In the opposite order of an install: the unit before what it starts. */
async function stepsOf(root: string, { files }: Manifest): Promise<readonly Step[]> {
  const steps: Step[] = [];
  for (const [path, prints] of Object.entries(files).reverse()) steps.push(...(await removalStep(root, path, prints)));
  return steps;
}

/** A word as a shell takes it. */
function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
