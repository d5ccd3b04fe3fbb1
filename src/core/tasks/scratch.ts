import { mkdir, readdir, rm } from "node:fs/promises";
import { join } from "node:path";
import { runtimeFolder } from "./bundles.ts";
import { taskKey } from "./task-table.ts";

/** Folders on the disk, not in memory as the state folder is, for CRIU's images, which may be as large as the process was. */
export interface Scratch {
  /** A new folder of one's own, removed when disposed. */
  temporary(): Promise<ScratchFolder>;
  /** A task's own folder, which lives until it is removed; emptied if it is there. */
  create(namespace: string, id: string): Promise<string>;
  /** Removes a task's folder, where it has one. */
  remove(namespace: string, id: string): Promise<void>;
  /** Removes what no task owns: after a crash, and after a reboot, which takes the bundles with it. */
  sweep(owned: (namespace: string, id: string) => boolean): Promise<void>;
}

export interface ScratchFolder extends AsyncDisposable {
  readonly path: string;
}

const temporaryFolder = ".tmp";

/** Makes the scratch space of a daemon: `<root>/io.containerd.runtime.v2.task/<namespace>/<id>`. */
export function createScratch(root: string): Scratch {
  const base = join(root, runtimeFolder);
  /** Most tasks have no folder: their removal costs nothing. */
  const known = new Set<string>();
  return {
    async temporary() {
      const path = join(base, temporaryFolder, crypto.randomUUID());
      await mkdir(path, { recursive: true, mode: 0o700 });
      return { path, [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }) };
    },
    async create(namespace, id) {
      const path = join(base, namespace, id);
      await rm(path, { recursive: true, force: true });
      await mkdir(path, { recursive: true, mode: 0o700 });
      known.add(taskKey(namespace, id));
      return path;
    },
    async remove(namespace, id) {
      if (!known.delete(taskKey(namespace, id))) return;
      await rm(join(base, namespace, id), { recursive: true, force: true });
    },
    async sweep(owned) {
      await rm(join(base, temporaryFolder), { recursive: true, force: true });
      for (const namespace of await namesIn(base)) {
        for (const id of await namesIn(join(base, namespace))) {
          if (owned(namespace, id)) known.add(taskKey(namespace, id));
          else await rm(join(base, namespace, id), { recursive: true, force: true });
        }
      }
    },
  };
}

async function namesIn(path: string): Promise<string[]> {
  try {
    return await readdir(path);
  } catch {
    // Not there: nothing was ever put there.
    return [];
  }
}
