import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { MountEntrySchema } from "../../gen/lighter/criu/v1/images_pb.ts";
import type { RuntimeKind } from "../runtime/runtime-kind.ts";
import type { ExternalFile } from "./external-files.ts";
import { readCriuImage } from "./images.ts";
import type { RestoreNotes } from "./restore-notes.ts";

/** The variable that names a configuration for one run of CRIU. Source: criu(8), "Configuration files". */
export const criuConfigVariable = "CRIU_CONFIG_FILE";

/** What the runtime itself can't be asked for at a checkpoint. */
export function dumpConfig(files: readonly ExternalFile[], emptyNamespaces: readonly string[]): string {
  const external = files.map(({ key }) => `external ${key}`);
  return linesOf([...external, ...emptyNamespaces.map((name) => `empty-ns ${criuName(name)}`)]);
}

export interface RestoreConfig {
  readonly kind: RuntimeKind;
  /** The folder of CRIU's images. */
  readonly image: string;
  /** Where the runtime keeps its own state. */
  readonly runtimeRoot: string;
  readonly notes: RestoreNotes;
  /** False where the runtime's own standard streams are not the container's. */
  readonly hasStreams: boolean;
}

/** What the runtime itself can't be asked for at a restore. */
export async function restoreConfig(config: RestoreConfig): Promise<string> {
  const lines = config.hasStreams ? inheritedStreams(config.notes.files) : [];
  if (config.kind === "crun") {
    for (const name of config.notes.emptyNamespaces) lines.push(`empty-ns ${criuName(name)}`);
    lines.push(...(await maskedFolders(config.image, config.runtimeRoot)));
  }
  return linesOf(lines);
}

/**
 * Puts the new streams, which the runtime has as its own, in the old ones' places, as they are: whether a stream is a
 * FIFO or a log may have changed. CRIU takes each descriptor once, and a file's name without its first letter, which is
 * a slash for those that have a path. Source: criu criu/files-reg.c, collect_one_regfile.
 */
function inheritedStreams(files: readonly ExternalFile[]): string[] {
  const free = new Set([0, 1, 2]);
  const lines: string[] = [];
  for (const { key, stream } of files) if (free.delete(stream)) lines.push(`inherit-fd fd[${stream}]:${key.slice(1)}`);
  return lines;
}

/** CRIU's own word for what runtimes call a network namespace. */
export const criuName = (namespace: string): string => (namespace === "network" ? "net" : namespace);

/** How crun names, below the root of its state, the empty folder that it puts over masked ones. Source: crun src/libcrun/status.c. */
const emptyFolder = "/.empty-directory";

/**
 * Maps the empty folder over masked ones: crun names it at a checkpoint as if it had no `--root`, and does not find that
 * name again at the restore.
 */
async function maskedFolders(image: string, runtimeRoot: string): Promise<string[]> {
  const own = runtimeRoot + emptyFolder;
  const keys = new Set<string>();
  for (const name of await readdir(image)) {
    if (!/^mountpoints-\d+\.img$/.test(name)) continue;
    const mounts = await readCriuImage(join(image, name), MountEntrySchema);
    for (const { extKey } of mounts?.entries ?? []) if (isEmptyFolder(extKey) && extKey !== own) keys.add(extKey);
  }
  return [...keys].map((key) => `external mnt[${key}]:${own}`);
}

/** The images are anybody's, and a name with spaces or brackets would be more than a name in the configuration. */
function isEmptyFolder(key: string): boolean {
  return key.endsWith(emptyFolder) && /^[\w./-]+$/.test(key);
}

function linesOf(lines: readonly string[]): string {
  return lines.map((line) => `${line}\n`).join("");
}
