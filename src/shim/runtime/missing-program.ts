import { fstatSync } from "node:fs";
import { join, resolve } from "node:path";
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

/** Where runtimes look without a PATH, each in some of these, or nowhere. Source: crun and runc. */
const commonPath = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** What a process's part of a spec says of its program; undefined where that is for the runtime to say. */
export function programOf(process: unknown, mounts: readonly string[] = []): ProgramSpec | undefined {
  const { args, env, cwd } = (typeof process === "object" && process !== null ? process : {}) as Record<
    string,
    unknown
  >;
  const [name] = Array.isArray(args) ? (args as readonly unknown[]) : [];
  if (typeof name !== "string" || name === "" || !(env === undefined || Array.isArray(env))) return undefined;
  const isPath = (one: unknown): one is string => typeof one === "string" && one.startsWith("PATH=");
  const given = ((env ?? []) as readonly unknown[]).findLast(isPath)?.slice("PATH=".length) ?? "";
  const folder = typeof cwd === "string" && cwd.startsWith("/") ? cwd : "/";
  // An empty part is the folder that the process starts in; whoever takes it for nothing finds less than is looked for here.
  const path = given.split(":").map((part) => resolve(folder, part));
  return { name, cwd: folder, path: given === "" ? [...commonPath, ...path] : path, mounts };
}

/**
 * Whether a program is nowhere in a root, or is nothing that anybody may run: then its runtime fails, and says so on the process's own
 * stderr besides, which containerd's shim has not connected by then. Where this errs, it errs on the side of the program's being there.
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
    return candidates.every((place) => isNoProgram(kernel, folder, place));
  } finally {
    closeQuietly(kernel, folder);
  }
}

/** The right to run a file, its owner's, its group's and everybody's. */
const anyoneRuns = 0o111;

function isNoProgram(kernel: Kernel, root: Fd, path: string): boolean {
  let file: Fd;
  try {
    file = kernel.openBeneath(root, path, openFlags.path, 0, resolveFlags.inRoot);
  } catch (error) {
    return isErrno(error, "ENOENT", "ENOTDIR");
  }
  try {
    const stat = fstatSync(file);
    return stat.isDirectory() || (stat.mode & anyoneRuns) === 0;
  } finally {
    closeQuietly(kernel, file);
  }
}

const isWithin = (path: string, mount: string): boolean =>
  path === mount || path.startsWith(mount === "/" ? "/" : `${mount}/`);
