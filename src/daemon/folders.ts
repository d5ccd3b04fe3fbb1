import { chmod, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import { type Kernel, unmountFlags } from "../sys/index.ts";
import type { Settings } from "./settings.ts";

/**
 * Makes the daemon's folders with containerd's modes: what is under the root is for root alone; the state's folder may be
 * passed through, for containers whose users are mapped to others.
 * Source: containerd cmd/containerd/server/server.go, CreateTopLevelDirectories.
 */
export async function makeFolders({ root, state, temp }: Settings): Promise<void> {
  await mkdir(root, { recursive: true, mode: 0o700 });
  await chmod(root, 0o700);
  await mkdir(state, { recursive: true, mode: 0o711 });
  await mkdir(join(root, "tmpmounts"), { recursive: true, mode: 0o700 });
  if (temp === "") return;
  await mkdir(temp, { recursive: true, mode: 0o700 });
  await chmod(temp, 0o700);
  process.env["TMPDIR"] = temp;
}

/**
 * Takes away the mounts that a predecessor left in the folder for short-lived ones.
 * Effects: what cannot be unmounted stays, with a warning: an unpack makes folders of its own anyhow.
 */
export async function cleanTemporaryMounts(root: string, kernel: Pick<Kernel, "unmount">, log: Logger): Promise<void> {
  const folder = join(root, "tmpmounts");
  const table = await readFile("/proc/self/mountinfo", "utf8");
  for (const target of mountsBelow(table, folder)) {
    try {
      kernel.unmount(target, unmountFlags.detach | unmountFlags.noFollow);
    } catch (error) {
      log.warn("cleanup temp mount", { error, path: target });
    }
  }
  const still = mountsBelow(await readFile("/proc/self/mountinfo", "utf8"), folder);
  for (const name of await readdir(folder)) {
    const path = join(folder, name);
    // Never delete through a mount that would not go: it may be somebody's files.
    if (still.some((target) => target === path || target.startsWith(`${path}/`))) continue;
    await rm(path, { recursive: true }).catch((error: unknown) =>
      log.warn("cleanup temp mount", { error: messageOf(error), path }),
    );
  }
}

/** The mount points below a folder, the innermost first. Source: proc(5), mountinfo: the fifth field, octal escapes. */
export function mountsBelow(mountinfo: string, folder: string): readonly string[] {
  return mountinfo
    .split("\n")
    .map((line) =>
      (line.split(" ")[4] ?? "").replace(/\\([0-7]{3})/g, (_all, octal: string) =>
        String.fromCharCode(Number.parseInt(octal, 8)),
      ),
    )
    .filter((target) => target.startsWith(`${folder}/`))
    .toReversed();
}
