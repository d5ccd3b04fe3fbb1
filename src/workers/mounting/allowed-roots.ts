import { basename, dirname } from "node:path";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import { archOpenFlags, isErrno, type Kernel, OwnedFd, openFlags, resolveFlags } from "../../sys/index.ts";

/** How often the kernel may not be able to tell whether a rename made a path lead out. Source: openat2(2), EAGAIN. */
const tries = 100;

/** A name in a folder that is held open, so that it stays what it is. */
export interface HeldPlace extends Disposable {
  /** Leads there through the open folder. */
  readonly path: string;
}

/**
 * Finds a path within one of the folders in which the mount manager may make things.
 * Shape: the last part need not be there. Undefined when the path is in none of them.
 * Errors: unknown (no such parent; a way that leads out of the folder).
 */
export function placeWithin(kernel: Kernel, roots: readonly string[], path: string): HeldPlace | undefined {
  const root = roots
    .filter((one) => path === one || path.startsWith(`${one}/`))
    .toSorted((one, other) => other.length - one.length)[0];
  if (root === undefined) return undefined;
  const inside = path.slice(root.length + 1).replace(/\/+$/, "");
  using folder = new OwnedFd(kernel, kernel.open(root, openFlags.path | archOpenFlags.directory));
  const name = basename(inside);
  const at = [".", ".."].includes(name) || name === "" ? inside : dirname(inside);
  const parent = new OwnedFd(kernel, openFolder(kernel, folder.fd, at === "" ? "." : at));
  const last = at === inside ? "." : name;
  return { path: `/proc/self/fd/${parent.fd}/${last}`, [Symbol.dispose]: () => parent[Symbol.dispose]() };
}

function openFolder(kernel: Kernel, root: number, path: string): number {
  const resolve = resolveFlags.beneath | resolveFlags.noMagiclinks;
  for (let left = tries; ; left--) {
    try {
      return kernel.openBeneath(root, path, openFlags.path | archOpenFlags.directory, 0, resolve);
    } catch (error) {
      if (!isErrno(error, "EAGAIN") || left === 1) {
        throw new FaultError("unknown", `failed to stat ${quote(path)}: ${messageOf(error)}`, { cause: error });
      }
    }
  }
}
