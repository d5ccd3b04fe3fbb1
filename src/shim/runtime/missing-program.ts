import { join } from "node:path";
import {
  archOpenFlags,
  closeQuietly,
  type Fd,
  isErrno,
  type Kernel,
  openFlags,
  resolveFlags,
} from "../../sys/index.ts";

/** What a process's specification says of its program. */
export interface ProgramSpec {
  readonly name: string;
  readonly cwd: string;
  /** Absolute folders. */
  readonly path: readonly string[];
  /** Places of which nobody can tell what is there before the runtime has mounted something. */
  readonly mounts: readonly string[];
}

/**
 * What a process's part of a spec says of its program; undefined where that is for the runtime to say.
 * Shape: without a PATH each runtime has one of its own.
 */
export function programOf(process: unknown, mounts: readonly string[] = []): ProgramSpec | undefined {
  const { args, env, cwd } = (typeof process === "object" && process !== null ? process : {}) as Record<
    string,
    unknown
  >;
  const [name] = Array.isArray(args) ? (args as readonly unknown[]) : [];
  if (typeof name !== "string" || name === "" || !Array.isArray(env)) return undefined;
  const isPath = (one: unknown): one is string => typeof one === "string" && one.startsWith("PATH=");
  const path = ((env as readonly unknown[]).findLast(isPath) ?? "").slice("PATH=".length).split(":");
  if (path.some((folder) => !folder.startsWith("/"))) return undefined;
  return { name, cwd: typeof cwd === "string" && cwd.startsWith("/") ? cwd : "/", path, mounts };
}

/**
 * Whether a program is nowhere in a root: then its runtime fails, and says so on the process's own stderr besides, which
 * containerd's shim has not connected by then. Where this errs, it errs on the side of the program's being there.
 */
export function lacksProgram(kernel: Kernel, root: string, { name, cwd, path, mounts }: ProgramSpec): boolean {
  const places = name.includes("/")
    ? [join(cwd, name.startsWith("/") ? "/" : ".", name)]
    : path.map((at) => join(at, name));
  const candidates = name.startsWith("/") ? [name] : places;
  if (candidates.some((place) => mounts.some((mount) => isWithin(place, mount)))) return false;
  let folder: Fd;
  try {
    folder = kernel.open(root, archOpenFlags.directory | openFlags.path);
  } catch {
    // No root that could be looked into: the runtime says why.
    return false;
  }
  try {
    return candidates.every((place) => isMissing(kernel, folder, place));
  } finally {
    closeQuietly(kernel, folder);
  }
}

function isMissing(kernel: Kernel, root: Fd, path: string): boolean {
  try {
    closeQuietly(kernel, kernel.openBeneath(root, path, openFlags.path, 0, resolveFlags.inRoot));
    return false;
  } catch (error) {
    return isErrno(error, "ENOENT", "ENOTDIR");
  }
}

const isWithin = (path: string, mount: string): boolean =>
  path === mount || path.startsWith(mount === "/" ? "/" : `${mount}/`);
