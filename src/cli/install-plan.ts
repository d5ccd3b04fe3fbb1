import { statSync } from "node:fs";
import { dirname, join } from "node:path";
import { productVersion } from "../lib/version.ts";
import { checkInside, fingerprintAt, fingerprintOf, missingFolders } from "./install-disk.ts";
import { type Item, manifestPath, ownFolders } from "./install-files.ts";
import type { Manifest } from "./install-manifest.ts";

export type Action = "write" | "replace" | "keep" | "refuse" | "remove";

/** What is done about one path, and why. */
export interface Step {
  readonly action: Action;
  readonly path: string;
  readonly sizeBytes: number;
  readonly reason: string;
  /** What is written; undefined for what goes. */
  readonly item: Item | undefined;
}

export interface Plan {
  readonly steps: readonly Step[];
  /** Folders that will be made, the outermost first. */
  readonly folders: readonly string[];
  /** Written before the first file, so that an install that dies can be done again or undone. */
  readonly intent: Manifest;
  /** Written after the last file. */
  readonly outcome: Manifest;
  /** True when everything is there and written down already. */
  readonly done: boolean;
}

interface PlanOptions {
  readonly root: string;
  readonly items: readonly Item[];
  readonly manifest: Manifest | undefined;
  /** Replace files that are not lighter's own. */
  readonly force: boolean;
}

/** Compares what is to be there with what is. Effects: none. Errors: CommandError where a link leads out of the root. */
export async function planInstall({ root, items, manifest, force }: PlanOptions): Promise<Plan> {
  const steps: Step[] = [];
  const own: Record<string, string> = {};
  for (const item of items) {
    checkInside(root, item.path);
    const recorded = known(manifest, item.path);
    const [want, found] = await Promise.all([fingerprintOf(item), fingerprintAt(join(root, item.path))]);
    const step = stepFor(item, { want, found, recorded, force });
    steps.push(step);
    // What was there with the same bytes before lighter came stays when lighter goes.
    const adopted = step.action === "keep" && !recorded.includes(want);
    if (step.action !== "refuse" && !adopted) own[item.path] = want;
    else if (recorded.length > 0) own[item.path] = recorded.at(-1) ?? want;
  }
  for (const path of Object.keys(manifest?.files ?? {})) {
    if (items.some((item) => item.path === path)) continue;
    steps.push(...(await removalStep(root, path, known(manifest, path))));
  }
  return finished({ root, items, manifest, force }, steps, own);
}

function known(manifest: Manifest | undefined, path: string): readonly string[] {
  return manifest !== undefined && Object.hasOwn(manifest.files, path) ? (manifest.files[path] ?? []) : [];
}

interface Comparison {
  readonly want: string;
  readonly found: string | undefined;
  readonly recorded: readonly string[];
  readonly force: boolean;
}

function stepFor(item: Item, { want, found, recorded, force }: Comparison): Step {
  const step = (action: Action, reason: string): Step => ({
    action,
    path: item.path,
    sizeBytes: sizeOf(item),
    reason,
    item,
  });
  if (found === undefined) return step("write", "");
  if (found === want) return step("keep", "the same");
  if (recorded.includes(found)) return step("replace", "another version's");
  if (item.kind === "file" && item.config === true) return step("keep", "changed by hand");
  const why = recorded.length > 0 ? "changed by hand" : "not lighter's own";
  return force && found !== "other" ? step("replace", why) : step("refuse", why);
}

function sizeOf(item: Item): number {
  if (item.kind === "link") return 0;
  return item.kind === "file" ? Buffer.byteLength(item.text) : statSync(item.source).size;
}

/** What becomes of a file that was installed: it goes unless it was changed since. */
export async function removalStep(root: string, path: string, recorded: readonly string[]): Promise<readonly Step[]> {
  checkInside(root, path);
  const found = await fingerprintAt(join(root, path));
  if (found === undefined) return [];
  const sizeBytes = statSync(join(root, path), { throwIfNoEntry: false })?.size ?? 0;
  const base = { path, sizeBytes: found.startsWith("link:") ? 0 : sizeBytes, item: undefined };
  if (recorded.includes(found)) return [{ ...base, action: "remove", reason: "" }];
  return [{ ...base, action: "keep", reason: "changed by hand" }];
}

function finished({ root, items, manifest }: PlanOptions, steps: readonly Step[], own: Record<string, string>): Plan {
  const wanted = [...ownFolders, dirname(manifestPath), ...items.map(({ path }) => dirname(path))];
  const folders = [...new Set(wanted.flatMap((folder) => missingFolders(root, folder)))];
  // The manifest's own folder is made before anything can be written down.
  const made = [...new Set([...(manifest?.folders ?? []), ...folders, dirname(manifestPath)])];
  const base = { schema: 1, version: productVersion, folders: made } as const;
  const before = manifest?.files ?? {};
  const both = Object.fromEntries(
    [...new Set([...Object.keys(before), ...Object.keys(own)])].map((path) => {
      const prints = [...known(manifest, path), ...(own[path] === undefined ? [] : [own[path]])];
      return [path, [...new Set(prints)]];
    }),
  );
  const outcome: Manifest = {
    ...base,
    files: Object.fromEntries(Object.entries(own).map(([path, print]) => [path, [print]])),
  };
  const done =
    steps.every(({ action }) => action === "keep") &&
    folders.length === 0 &&
    JSON.stringify(manifest) === JSON.stringify(outcome);
  return { steps, folders, intent: { ...base, files: both }, outcome, done };
}
