import { lstatSync, statSync } from "node:fs";
import { basename } from "node:path";
import { findContainer } from "../client/containers/find.ts";
import { type ContainerPlace, linkTarget, statIn } from "../client/transfers/container-copies.ts";
import { isFault } from "../lib/faults.ts";
import type { TarEntry } from "../lib/tar/index.ts";
import type { CommandContext } from "./command.ts";
import { CommandError } from "./usage-error.ts";

/** One side of a copy: a path of this machine's, a container's, or a tar on a standard stream. */
export type CopyWord =
  | { readonly kind: "stream" }
  | { readonly kind: "here"; readonly path: string }
  | { readonly kind: "container"; readonly container: string; readonly path: string };

/** As docker reads them: a colon makes a container's, but not in what begins like a path. */
export function copyWord(word: string): CopyWord {
  if (word === "-") return { kind: "stream" };
  const colon = word.indexOf(":");
  if (colon < 1 || /^[./]/.test(word)) return { kind: "here", path: word };
  return { kind: "container", container: word.slice(0, colon), path: word.slice(colon + 1) };
}

/** Finds the container of a place. Errors: notFound. */
export async function placeOf(
  { client }: CommandContext,
  word: Extract<CopyWord, { kind: "container" }>,
): Promise<ContainerPlace> {
  const { id } = await findContainer(client, word.container);
  // A path that is none means the top, and is told from the top.
  return { containerId: id, path: word.path.startsWith("/") ? word.path : `/${word.path}` };
}

/** Whether a path means a folder's content: it ends with `/.`. */
export function meansContent(path: string): boolean {
  return /(?:^|\/)\.$/.test(path);
}

/** The last name of a path, without what is at its end. */
export function lastName(path: string): string {
  return basename(path.replace(/\/+$/, ""));
}

/** What stands at a path here. Errors: CommandError when it must be there and is not. */
export function lookHere(path: string, follow: boolean): "folder" | "file" | "link" {
  const stats = follow || path.endsWith("/") || meansContent(path) ? tryStat(path) : tryLstat(path);
  if (stats === undefined) throw new CommandError(`copy ${path}: no such file or folder`);
  if (stats.isDirectory()) return "folder";
  return stats.isSymbolicLink() ? "link" : "file";
}

/** What stands at a path that something is copied to. */
export function targetHere(path: string): "folder" | "file" | "nothing" {
  const stats = tryStat(path);
  if (stats === undefined) return "nothing";
  return stats.isDirectory() ? "folder" : "file";
}

/** As `targetHere`, in a container; links are followed. */
export async function targetIn(context: CommandContext, place: ContainerPlace): Promise<"folder" | "file" | "nothing"> {
  const folder = await lookIn(context, { ...place, path: `${place.path}/.` });
  if (folder !== undefined) return "folder";
  return (await lookIn(context, place)) === undefined ? "nothing" : "file";
}

/** How many links are followed. Source: path_resolution(7). */
const maxLinks = 40;

/** The place to which links lead. Errors: CommandError when it is not there, or links go round. */
export async function followed(context: CommandContext, place: ContainerPlace): Promise<ContainerPlace> {
  let at = place;
  for (let links = 0; links < maxLinks; links++) {
    const entry = await sourceIn(context, at);
    if (entry.kind !== "symlink") return at;
    const target = linkTarget(entry);
    const folder = at.path.replace(/\/+$/, "").replace(/[^/]*$/, "");
    at = { ...at, path: target.startsWith("/") ? target : `${folder}${target}` };
  }
  throw new CommandError(`copy ${place.path}: too many levels of symbolic links`);
}

/** What is copied from a container. Errors: CommandError when it is not there. */
export async function sourceIn({ client }: CommandContext, place: ContainerPlace): Promise<TarEntry> {
  const entry = await statIn(client, place);
  if (entry !== undefined) return entry;
  throw new CommandError(`copy ${place.path}: what is there can't be copied`);
}

async function lookIn({ client }: CommandContext, place: ContainerPlace): Promise<TarEntry | undefined> {
  try {
    return await statIn(client, place);
  } catch (error) {
    if (isFault(error, "notFound") || isFault(error, "invalidArgument")) return undefined;
    throw error;
  }
}

function tryStat(path: string): ReturnType<typeof statSync> {
  return statSync(path, { throwIfNoEntry: false });
}

function tryLstat(path: string): ReturnType<typeof lstatSync> {
  return lstatSync(path, { throwIfNoEntry: false });
}
