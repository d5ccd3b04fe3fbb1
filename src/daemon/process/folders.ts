import { chmod, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { FaultError, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { type Kernel, unmountFlags } from "../../sys/index.ts";
import type { Settings } from "../config/settings.ts";

/**
 * Makes the daemon's folders with containerd's modes: what is under the root is for root alone; the state's folder may be
 * passed through, for containers whose users are mapped to others.
 * Source: containerd cmd/containerd/server/server.go, CreateTopLevelDirectories.
 */
export async function makeFolders({ root, state, temp }: Settings): Promise<void> {
  await makeFolder("--root", root, 0o700);
  await chmod(root, 0o700);
  await makeFolder("--state", state, 0o711);
  await mkdir(join(root, "tmpmounts"), { recursive: true, mode: 0o700 });
  if (temp === "") return;
  await mkdir(temp, { recursive: true, mode: 0o700 });
  await chmod(temp, 0o700);
  process.env["TMPDIR"] = temp;
}

/** Makes a folder that an option names. Errors: unknown, with what to do about it. */
export async function makeFolder(option: string, path: string, mode: number): Promise<void> {
  try {
    await mkdir(path, { recursive: true, mode });
  } catch (error) {
    const code = (error as { code?: string }).code ?? "";
    const [why, what] = reasons[code] ?? [messageOf(error), "choose another one"];
    throw new FaultError("unknown", `cannot make folder ${path}: ${why}; ${what} (${option})`, { cause: error });
  }
}

const reasons: Readonly<Record<string, readonly [string, string]>> = {
  EACCES: ["permission denied", "start it as root, or choose a folder of your own"],
  EPERM: ["operation not permitted", "start it as root, or choose a folder of your own"],
  EROFS: ["the filesystem is read-only", "choose one that can be written to"],
  EEXIST: ["a file is in the way", "move it away, or choose another folder"],
  ENOTDIR: ["a file is in the way", "move it away, or choose another folder"],
  ENOSPC: ["no space left on the device", "make room, or choose a folder on another disk"],
};

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
