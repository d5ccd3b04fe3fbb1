import { readFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { readBootstrap, readOwner, writeOwner } from "../shims/index.ts";
import { findShim, runtimeFolder } from "../tasks/index.ts";

/** A task of which containerd left a bundle. */
export interface OldTask {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  /** Whether its shim still takes calls. */
  readonly isRunning: boolean;
  /** The first process, which the shim noted; 0 when it did not. */
  readonly pid: number;
  /** Undefined when the bundle itself says whose it is. */
  readonly program: string | undefined;
}

export interface OldTaskOptions {
  readonly state: string;
  readonly searchPath: string;
  /** The runtime of a container; undefined when there is no such container. */
  readonly runtimeOf: (namespace: string, id: string) => string | undefined;
}

/** Looks for the bundles of shims. Effects: reads only. */
export async function findTasks(options: OldTaskOptions): Promise<readonly OldTask[]> {
  const root = join(options.state, runtimeFolder);
  const listening = listeningSockets();
  const found: OldTask[] = [];
  for (const namespace of await foldersOf(root)) {
    for (const id of await foldersOf(join(root, namespace))) {
      const task = await taskOf(options, { namespace, id, bundle: join(root, namespace, id) }, listening);
      if (task !== undefined) found.push(task);
    }
  }
  return found;
}

/**
 * Notes in each bundle whose it is, as containerd does itself since 1.7: without that a daemon takes it for its own host's.
 * Effects: a small file in the state folder, which a containerd of any version ignores or writes itself.
 */
export async function markTasks(tasks: readonly OldTask[]): Promise<void> {
  for (const { bundle, program } of tasks) {
    if (program !== undefined) await writeOwner(bundle, { program, sandboxId: "" });
  }
}

/** How many tasks of containerd's first runtime there are: their shims speak another language. */
export async function countFirstRuntime(state: string): Promise<number> {
  const root = join(state, "io.containerd.runtime.v1.linux");
  let count = 0;
  for (const namespace of await foldersOf(root)) count += (await foldersOf(join(root, namespace))).length;
  return count;
}

async function taskOf(
  { runtimeOf, searchPath }: OldTaskOptions,
  bundle: Pick<OldTask, "namespace" | "id" | "bundle">,
  listening: ReadonlySet<string>,
): Promise<OldTask | undefined> {
  const bootstrap = await readBootstrap(bundle.bundle).catch(() => undefined); // what is no address is nobody's
  if (bootstrap === undefined) return undefined;
  const address = bootstrap.address.replace(/^unix:\/\//, "").replace(/^\0/, "@");
  const isRunning = listening.has(address) || listening.has(`@${address}`);
  const found = { ...bundle, isRunning, pid: await pidOf(bundle.bundle) };
  if ((await readOwner(bundle.bundle)) !== undefined) return { ...found, program: undefined };
  const runtime = runtimeOf(bundle.namespace, bundle.id) ?? defaultRuntime;
  return { ...found, program: await programOf(runtime, searchPath) };
}

/** Source: containerd's shim for runc, which keeps the number in its bundle. */
async function pidOf(bundle: string): Promise<number> {
  const text = await readFile(join(bundle, "init.pid"), "utf8").catch(() => ""); // other shims keep none
  return /^[1-9][0-9]{0,9}$/.test(text.trim()) ? Number(text) : 0;
}

/** What every containerd runs where nothing else is said. Source: containerd defaults/defaults.go, DefaultRuntime. */
const defaultRuntime = "io.containerd.runc.v2";

/** The program is needed only to clean up after a shim that died: a task can be taken over without it. */
async function programOf(runtime: string, searchPath: string): Promise<string> {
  try {
    return await findShim(runtime, searchPath);
  } catch (error) {
    const parts = runtime.split(".");
    if (parts.length < 2) throw new Error(`runtime ${runtime}: ${messageOf(error)}`, { cause: error });
    return `containerd-shim-${parts.slice(-2).join("-")}`;
  }
}

/** Source: proc(5), /proc/net/unix: the last word of a line is the socket's name. */
function listeningSockets(): ReadonlySet<string> {
  const lines = readFileSync("/proc/net/unix", "utf8").split("\n").slice(1);
  return new Set(lines.map((line) => line.split(" ").slice(7).join(" ").trim()).filter((name) => name !== ""));
}

async function foldersOf(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory() && !entry.name.startsWith(".")).map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw error;
  }
}
