import { chmodSync, chownSync, lstatSync, mkdirSync, rmdirSync } from "node:fs";
import { FaultError, invalidArgument, messageOf, notImplemented, quote } from "../../lib/faults.ts";
import { isErrno, type Kernel, type MountRequest } from "../../sys/index.ts";
import { placeWithin } from "./allowed-roots.ts";

const prefix = "X-containerd.mkdir.";

/** A folder that is to be there before a mount. */
interface WantedFolder {
  readonly path: string;
  readonly mode: number;
  readonly owner: { readonly uid: number; readonly gid: number } | undefined;
}

/**
 * Makes the folders that options ask for, `X-containerd.mkdir.path=PATH[:MODE[:UID:GID]]`, and takes those options out.
 * Errors: invalidArgument, notImplemented (outside of the roots; a folder that is there with another mode), unknown.
 * Source: containerd core/mount/manager/mkdir.go; it refuses owners, which are given here.
 */
export function makeFolders(kernel: Kernel, roots: readonly string[], request: MountRequest): MountRequest {
  const options: string[] = [];
  for (const option of request.options) {
    if (option.startsWith(prefix)) makeFolder(kernel, roots, parseFolder(option));
    else options.push(option);
  }
  return { ...request, options };
}

function parseFolder(option: string): WantedFolder {
  const wrong = (): FaultError => invalidArgument(`invalid mkdir option ${quote(option)}`);
  const value = option.slice(prefix.length);
  if (!value.startsWith("path=")) throw wrong();
  const [path = "", mode = "700", uid, gid, ...more] = value.slice("path=".length).split(":");
  if (more.length > 0 || (uid === undefined) !== (gid === undefined)) throw wrong();
  if (!/^[0-7]{1,6}$/.test(mode)) throw new FaultError("unknown", `invalid mode ${mode}: not an octal number`);
  const bits = Number.parseInt(mode, 8);
  if (bits > 0o777) throw new FaultError("unknown", `invalid mode ${bits.toString(8)}`);
  if (uid === undefined || gid === undefined) return { path, mode: bits, owner: undefined };
  return { path, mode: bits, owner: { uid: parseId("uid", uid), gid: parseId("gid", gid) } };
}

function parseId(name: string, text: string): number {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : Number.POSITIVE_INFINITY;
  if (id >= 0xffff_ffff) throw invalidArgument(`invalid ${name} ${quote(text)}`);
  return id;
}

function makeFolder(kernel: Kernel, roots: readonly string[], { path, mode, owner }: WantedFolder): void {
  using place = placeWithin(kernel, roots, path);
  if (place === undefined) throw notImplemented(`no root ${quote(path)} configured for mkdir`);
  try {
    mkdirSync(place.path, { mode });
  } catch (error) {
    if (isErrno(error, "EEXIST")) return checkFolder(place.path, path, mode);
    throw new FaultError("unknown", `failed to create directory ${quote(path)}: ${messageOf(error)}`, { cause: error });
  }
  try {
    if (owner !== undefined) chownSync(place.path, owner.uid, owner.gid);
    chmodSync(place.path, mode);
  } catch (error) {
    rmdirSync(place.path);
    throw error;
  }
}

function checkFolder(place: string, path: string, mode: number): void {
  const found = lstatSync(place);
  if (!found.isDirectory()) throw new FaultError("unknown", `failed to create directory ${quote(path)}: file exists`);
  if ((found.mode & 0o777) !== mode) throw notImplemented("chmod not supported yet for mkdir handler");
}
