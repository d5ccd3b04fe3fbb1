import { chmod, chown, mkdir, readdir, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Any } from "@bufbuild/protobuf/wkt";
import { messageOf, wrapFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import type { Logger } from "../../lib/log.ts";
import { isErrno } from "../../sys/index.ts";
import { ociTypeUrls } from "../../wire/any.ts";

/** The folder of containerd's runtime plugin, under the state folder for bundles. */
export const runtimeFolder = "io.containerd.runtime.v2.task";

/** A folder from which a shim runs a task. */
export interface Bundle {
  readonly namespace: string;
  readonly id: string;
  readonly path: string;
}

/** Puts more into a new bundle, by its path. */
export type Furnish = (path: string) => Promise<void>;

export interface BundlesOptions {
  /** The daemon's state folder. */
  readonly state: string;
  /** Within it; containerd's for tasks when left out. */
  readonly folder?: string | undefined;
  /** Unmounts everything at and below a path; needed when a shim left a root mounted. */
  readonly unmountTree: (path: string) => void;
  readonly log: Logger;
}

/** The bundles of a daemon: `<state>/io.containerd.runtime.v2.task/<namespace>/<id>/{config.json,rootfs/}`. */
export interface Bundles {
  path(namespace: string, id: string): string;
  /**
   * Makes a bundle with the spec's bytes as config.json, and with what `furnish` puts into the folder; one that was left
   * behind is replaced.
   * Errors: invalidArgument (an id that can't be a name), unknown (the disk refuses).
   * Effects: nothing is kept when it fails. One that is half made when the daemon dies has no task, and goes at its start.
   * Source: containerd core/runtime/v2/bundle.go, NewBundle; bundle_linux.go for the modes.
   */
  create(namespace: string, id: string, spec: Any | undefined, furnish?: Furnish): Promise<Bundle>;
  /**
   * Takes a bundle away: gone under its name when this settles; its files go in the background. Of a root that is mounted
   * and can't be unmounted, or that is not empty, nothing is touched: the folder stays, hidden, for the next start.
   */
  remove(bundle: Bundle): Promise<void>;
  /** Every bundle on disk. What an interrupted removal left is cleaned on the way. */
  scan(): Promise<Bundle[]>;
  /** True when a process was made in it, and the task not deleted since: a shim removes its number with the rest. */
  inhabited(bundle: Bundle): Promise<boolean>;
  /** Settles when the removals under way are done. */
  idle(): Promise<void>;
}

/** Where shims note the number of a task's first process. */
const pidFile = "init.pid";

export function createBundles(options: BundlesOptions): Bundles {
  return new FolderBundles(options);
}

class FolderBundles implements Bundles {
  readonly #root: string;
  readonly #unmountTree: BundlesOptions["unmountTree"];
  readonly #log: Logger;
  readonly #namespaces = new Set<string>();
  /** Removals under way, by the folder's hidden path. */
  readonly #removals = new Map<string, Promise<void>>();

  constructor(options: BundlesOptions) {
    this.#root = join(options.state, options.folder ?? runtimeFolder);
    this.#unmountTree = options.unmountTree;
    this.#log = options.log;
  }

  path(namespace: string, id: string): string {
    return join(this.#root, namespace, id);
  }

  async create(namespace: string, id: string, spec: Any | undefined, furnish?: Furnish): Promise<Bundle> {
    try {
      checkIdentifier(id);
    } catch (error) {
      throw wrapFault(`invalid task id ${id}`, error);
    }
    const bundle: Bundle = { namespace, id, path: this.path(namespace, id) };
    await this.#makeFolder(bundle);
    try {
      const rootfs = mkdir(join(bundle.path, "rootfs"), { mode: 0o711 });
      await Promise.all([rootfs, writeSpec(bundle.path, spec), furnish?.(bundle.path)]);
      return bundle;
    } catch (error) {
      await this.remove(bundle).catch(() => undefined);
      throw error;
    }
  }

  async remove(bundle: Bundle): Promise<void> {
    const hidden = join(dirname(bundle.path), `.${bundle.id}.${crypto.randomUUID()}`);
    try {
      await rename(bundle.path, hidden);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw wrapFault(`remove bundle ${bundle.path}`, error);
    }
    this.#inBackground(hidden);
  }

  async scan(): Promise<Bundle[]> {
    const found: Bundle[] = [];
    for (const namespace of await foldersOf(this.#root)) {
      if (namespace.startsWith(".")) continue;
      for (const id of await foldersOf(join(this.#root, namespace))) {
        const path = join(this.#root, namespace, id);
        if (!id.startsWith(".")) found.push({ namespace, id, path });
        else if (!this.#removals.has(path)) this.#inBackground(path);
      }
    }
    return found;
  }

  async inhabited(bundle: Bundle): Promise<boolean> {
    return (await readdir(bundle.path)).includes(pidFile);
  }

  async idle(): Promise<void> {
    await Promise.all(this.#removals.values());
  }

  /** Makes the bundle's own folder; the namespace's one is looked for only when that fails. */
  async #makeFolder(bundle: Bundle): Promise<void> {
    if (!this.#namespaces.has(bundle.namespace)) {
      await mkdir(dirname(bundle.path), { recursive: true, mode: 0o711 });
      this.#namespaces.add(bundle.namespace);
    }
    for (let attempt = 0; ; attempt += 1) {
      try {
        await mkdir(bundle.path, { mode: 0o700 });
        return;
      } catch (error) {
        if (attempt > 0) throw error;
        // Without a task a bundle of that name is a leftover of a removal that failed.
        if (isErrno(error, "EEXIST")) await this.remove(bundle);
        else if (isErrno(error, "ENOENT")) await mkdir(dirname(bundle.path), { recursive: true, mode: 0o711 });
        else throw error;
      }
    }
  }

  /** Removes the root's mount point, never what is mounted there: a folder that isn't empty stops everything. */
  async #removeRoot(rootfs: string): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      try {
        await rmdir(rootfs);
        return;
      } catch (error) {
        if (isErrno(error, "ENOENT")) return;
        if (attempt > 0 || !isErrno(error, "EBUSY")) {
          throw wrapFault(`failed to remove bundle rootfs ${rootfs}`, error);
        }
        this.#unmount(rootfs);
      }
    }
  }

  #unmount(rootfs: string): void {
    try {
      this.#unmountTree(rootfs);
    } catch (error) {
      throw wrapFault(`unmount rootfs ${rootfs}`, error);
    }
  }

  #inBackground(hidden: string): void {
    const removal = this.#destroy(hidden)
      .catch((error: unknown) => this.#log.error("failed to delete bundle", { path: hidden, error }))
      .finally(() => this.#removals.delete(hidden));
    this.#removals.set(hidden, removal);
  }

  async #destroy(hidden: string): Promise<void> {
    await this.#removeRoot(join(hidden, "rootfs"));
    await rm(hidden, { recursive: true, force: true });
  }
}

async function writeSpec(path: string, spec: Any | undefined): Promise<void> {
  if (spec === undefined) return;
  if (spec.typeUrl === ociTypeUrls.spec) {
    const group = remappedGroup(spec.value);
    if (group !== 0) {
      await chown(path, -1, group);
      await chmod(path, 0o710);
    }
  }
  try {
    await writeFile(join(path, "config.json"), spec.value, { mode: 0o666 });
  } catch (error) {
    throw wrapFault("failed to write bundle spec", error);
  }
}

const groupMappingsKey = Buffer.from("gidMappings");

/** The host's id of the container's group 0; 0 where nothing is mapped. A spec without mappings is not decoded at all. */
function remappedGroup(spec: Uint8Array): number {
  const bytes = Buffer.from(spec.buffer, spec.byteOffset, spec.byteLength);
  if (!bytes.includes(groupMappingsKey)) return 0;
  let decoded: { linux?: { gidMappings?: { containerID?: unknown; hostID?: unknown }[] } };
  try {
    decoded = JSON.parse(bytes.toString());
  } catch (error) {
    throw wrapFault("decode the container's spec", error);
  }
  const mappings = decoded?.linux?.gidMappings;
  const first = Array.isArray(mappings) ? mappings.find((mapping) => (mapping?.containerID ?? 0) === 0) : undefined;
  return typeof first?.hostID === "number" && Number.isInteger(first.hostID) ? first.hostID : 0;
}

async function foldersOf(path: string): Promise<string[]> {
  try {
    const entries = await readdir(path, { withFileTypes: true });
    return entries.filter((entry) => entry.isDirectory()).map((entry) => entry.name);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return [];
    throw wrapFault(`read ${path}: ${messageOf(error)}`, error);
  }
}
