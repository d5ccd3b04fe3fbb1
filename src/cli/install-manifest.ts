import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import { makeFolder, missingFolders, place } from "./install-disk.ts";
import { manifestPath } from "./install-files.ts";
import { CommandError } from "./usage-error.ts";

/** What was installed, and what an install that did not come to its end was about to. */
export interface Manifest {
  readonly schema: 1;
  readonly version: string;
  /** By path below the root: every content with which the file is lighter's own. */
  readonly files: Readonly<Record<string, readonly string[]>>;
  /** Folders that were not there before, the outermost first. */
  readonly folders: readonly string[];
}

/** Reads what was installed. Errors: CommandError where it says nothing that this version understands. */
export function readManifest(root: string): Manifest | undefined {
  const file = join(root, manifestPath);
  let text: string;
  try {
    text = readFileSync(file, "utf8");
  } catch (error) {
    if (error instanceof Error && "code" in error && error.code === "ENOENT") return undefined;
    throw new CommandError(`read ${file}: ${messageOf(error)}`, { cause: error });
  }
  const parsed = parse(text);
  if (parsed !== undefined) return parsed;
  throw new CommandError(`${file} was not written by this version of lighter`, {
    hint: "install or uninstall with the version that wrote it, or move the file away",
  });
}

function parse(text: string): Manifest | undefined {
  try {
    const value: Partial<Manifest> | null = JSON.parse(text);
    if (value?.schema !== 1 || !Array.isArray(value.folders) || typeof value.files !== "object") return undefined;
    const fine = Object.entries(value.files).every(([path, prints]) => isPlain(path) && Array.isArray(prints));
    return fine && value.folders.every(isPlain) ? (value as Manifest) : undefined;
  } catch (error) {
    // Text that is not JSON is as strange as JSON that is no manifest: the caller says so of both, with what to do.
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** A path that stays below the root. */
function isPlain(path: unknown): boolean {
  return typeof path === "string" && path.startsWith("/") && !path.split("/").includes("..");
}

/** Effects: the manifest is on disk when this returns, or the one before it still is. */
export function writeManifest(root: string, manifest: Manifest): void {
  for (const folder of missingFolders(root, dirname(manifestPath))) makeFolder(root, folder);
  const text = `${JSON.stringify(manifest, undefined, 2)}\n`;
  place({ kind: "file", path: manifestPath, mode: 0o644, text }, root);
}
