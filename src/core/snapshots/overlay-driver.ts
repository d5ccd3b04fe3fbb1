import { chown, mkdir, readFile, stat } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { MountSpec } from "../mounts/index.ts";
import { diskUsage } from "./disk-usage.ts";
import type { NewSnapshot, SnapshotDriver } from "./driver.ts";
import { mapOptions } from "./id-mapping.ts";

export interface OverlayOptions {
  /** Options for every overlay mount; `index=off` and `userxattr` are added as the kernel wants them, unless given. */
  readonly mountOptions?: readonly string[] | undefined;
  /** Shows where a snapshot's own files are, as the label `containerd.io/snapshot/overlay.upperdir`. */
  readonly upperdirLabel?: boolean | undefined;
  /** Mounts say, of a snapshot whose labels map ids, that they are to be mapped; the kernel must be able to. */
  readonly remapIds?: boolean | undefined;
}

const upperdirLabel = "containerd.io/snapshot/overlay.upperdir";
const noLabels: ReadonlyMap<string, string> = new Map();

/**
 * Keeps each snapshot's files in a folder of its own, joined by an overlay mount where they are used.
 * Source: containerd plugins/snapshots/overlay/overlay.go.
 */
export async function createOverlayDriver(root: string, options: OverlayOptions = {}): Promise<SnapshotDriver> {
  const folder = join(root, "snapshots");
  const mountOptions = await withKernelOptions(options.mountOptions ?? []);
  const upper = (id: number): string => `${folder}/${id}/fs`;
  return {
    name: "overlayfs",
    folder,
    mountsContext: "failed to get active mount",
    create: (snapshot) => createFolders(folder, snapshot),
    mounts: (snapshot) => overlayMounts(folder, snapshot, mountOptions, options.remapIds === true),
    foldersOf: ({ id, kind }) => (kind === "active" ? [upper(id), `${folder}/${id}/work`] : [upper(id)]),
    contentPath: upper,
    usage: (id, signal) => diskUsage(upper(id), signal),
    ownLabels: (id) => (options.upperdirLabel === true ? new Map([[upperdirLabel, upper(id)]]) : noLabels),
  };
}

async function createFolders(folder: string, { id, kind, owner }: NewSnapshot): Promise<void> {
  const upper = `${folder}/${id}/fs`;
  await mkdir(upper, { recursive: true, mode: 0o755 });
  if (kind === "active") await mkdir(`${folder}/${id}/work`, { mode: 0o711 });
  if (owner.uid !== 0 || owner.gid !== 0) await chown(upper, owner.uid, owner.gid);
}

function overlayMounts(
  folder: string,
  { id, kind, parents, labels }: Omit<NewSnapshot, "owner">,
  mountOptions: readonly string[],
  remapIds: boolean,
): MountSpec[] {
  const maps = remapIds ? mapOptions(labels) : [];
  const upper = (one: number): string => `${folder}/${one}/fs`;
  // One folder alone is no overlay.
  if (parents.length === 0) return [bind(upper(id), kind === "view" ? "ro" : "rw", maps)];
  if (kind === "view" && parents.length === 1) return [bind(upper(parents[0] as number), "ro", maps)];
  const own = kind === "active" ? [`workdir=${folder}/${id}/work`, `upperdir=${upper(id)}`] : [];
  const options = [...maps, ...own, `lowerdir=${parents.map(upper).join(":")}`, ...mountOptions];
  return [{ type: "overlay", source: "overlay", target: "", options }];
}

function bind(source: string, access: "ro" | "rw", maps: readonly string[]): MountSpec {
  return { type: "bind", source, target: "", options: [...maps, access, "rbind"] };
}

/** What the kernel must have for overlays of mapped folders. Source: containerd overlayutils/check.go, SupportsIDMappedMounts. */
export async function supportsIdMapping(): Promise<boolean> {
  const [major = 0, minor = 0] = release().split(".").map(Number);
  if (major < 5 || (major === 5 && minor < 19) || (await inUserNamespace())) return false;
  const most = Number(await readFile("/proc/sys/user/max_user_namespaces", "utf8").catch(() => "0"));
  // Making a namespace takes that program; every distribution has it.
  return most > 0 && Bun.which("unshare") !== null;
}

async function withKernelOptions(given: readonly string[]): Promise<readonly string[]> {
  const has = (key: string): boolean => given.some((option) => option === key || option.startsWith(`${key}=`));
  const added: string[] = [];
  if (!has("userxattr") && (await needsUserXattr())) added.push("userxattr");
  if (!has("index") && (await exists("/sys/module/overlay/parameters/index"))) added.push("index=off");
  return [...given, ...added];
}

/** Only in a user namespace; since Linux 5.11. Source: containerd overlayutils/check.go, NeedsUserXAttr. */
async function needsUserXattr(): Promise<boolean> {
  if (!(await inUserNamespace())) return false;
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 5 || (major === 5 && minor >= 11);
}

/** Whether root is only root of a user namespace; no without a /proc that tells. */
export async function inUserNamespace(): Promise<boolean> {
  const map = await readFile("/proc/self/uid_map", "utf8").catch(() => "");
  return map !== "" && !/^\s*0\s+0\s+4294967295\s*$/.test(map);
}

async function exists(path: string): Promise<boolean> {
  return stat(path).then(
    () => true,
    () => false,
  );
}
