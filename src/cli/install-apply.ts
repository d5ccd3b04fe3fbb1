import { rmdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { createFailpoint, failpointVariable } from "../lib/failpoints.ts";
import { messageOf } from "../lib/faults.ts";
import { makeFolder, partialPath, place, syncFolder } from "./install-disk.ts";
import { manifestPath } from "./install-files.ts";
import { type Manifest, writeManifest } from "./install-manifest.ts";
import type { Plan, Step } from "./install-plan.ts";
import { CommandError } from "./usage-error.ts";

/**
 * Carries a plan out.
 * Effects: may die on any line: what it was about to do is on disk first, so that the next install goes on and an uninstall undoes it.
 */
export function applyInstall(root: string, plan: Plan): void {
  const diesAfter = createFailpoint<string>(process.env[failpointVariable]);
  guarded(() => {
    writeManifest(root, plan.intent);
    diesAfter("intent");
    for (const folder of plan.folders) makeFolder(root, folder);
    for (const step of plan.steps) {
      if (step.action === "remove") removeFile(root, step.path);
      else if (step.item !== undefined && step.action !== "keep") place(step.item, root);
      diesAfter(step.path);
    }
    writeManifest(root, plan.outcome);
  }, "lighter install");
}

/**
 * Takes away what was installed, and folders that were made for it and are empty.
 * Effects: what was written down goes last, so that an uninstall that dies can be done again.
 */
export function applyUninstall(root: string, manifest: Manifest, steps: readonly Step[]): void {
  const diesAfter = createFailpoint<string>(process.env[failpointVariable]);
  guarded(() => {
    for (const { action, path } of steps) {
      if (action === "remove") removeFile(root, path);
      diesAfter(path);
    }
    for (const path of Object.keys(manifest.files)) rmSync(partialPath(join(root, path)), { force: true });
    const holds = (folder: string): boolean => manifestPath.startsWith(`${folder}/`);
    const deepestFirst = manifest.folders.toSorted((a, b) => b.length - a.length);
    for (const folder of deepestFirst.filter((folder) => !holds(folder))) removeEmptyFolder(join(root, folder));
    removeFile(root, manifestPath);
    for (const folder of deepestFirst.filter(holds)) removeEmptyFolder(join(root, folder));
  }, "lighter uninstall");
}

function removeFile(root: string, path: string): void {
  rmSync(partialPath(join(root, path)), { force: true });
  rmSync(join(root, path), { force: true });
  syncFolder(dirname(join(root, path)));
}

function removeEmptyFolder(folder: string): void {
  try {
    rmdirSync(folder);
  } catch (error) {
    // Something of others is in it, or it went in an uninstall that died.
    if (!["ENOTEMPTY", "EEXIST", "ENOENT"].includes(codeOf(error))) throw error;
  }
}

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

function guarded(action: () => void, command: string): void {
  try {
    action();
  } catch (error) {
    const denied = ["EACCES", "EPERM", "EROFS"].includes(codeOf(error));
    const hint = denied ? `sudo ${command}` : `what is done so far is written down: ${command} goes on from here`;
    throw new CommandError(messageOf(error), { cause: error, hint });
  }
}
