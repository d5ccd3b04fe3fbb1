import { readlinkSync, writeFileSync } from "node:fs";
import { fault, messageOf } from "../lib/faults.ts";
import { openFlags } from "./files.ts";
import type { Kernel } from "./kernel.ts";
import { OwnedFd } from "./owned-fd.ts";

/** One stretch of ids: `length` of them from `container` inside are those from `host` outside. */
interface IdRange {
  readonly container: number;
  readonly host: number;
  readonly length: number;
}

const unshareTimeoutMs = 2000;

/**
 * Makes a user namespace with these mappings and answers a descriptor of it.
 * Shape: mappings as containerd's labels and mount options have them: `container:host:size`, joined by commas.
 * Errors: invalidArgument (malformed), unavailable (the kernel or the machine has no user namespaces).
 * Effects: blocks for a few milliseconds: a process of its own is needed, since a process with threads cannot enter one.
 * Source: containerd core/mount/mount_idmapped_linux.go, GetUsernsFD.
 */
export function openUserNamespace(kernel: Kernel, uidMap: string, gidMap: string): OwnedFd {
  const [uids, gids] = [parseIdMap(uidMap), parseIdMap(gidMap)];
  // It does nothing but be there until its input ends, which is as soon as this function does.
  const child = Bun.spawn(["unshare", "--user", "cat"], {
    stdio: ["pipe", "ignore", "ignore"],
    env: { PATH: searchPath },
  });
  try {
    const path = `/proc/${child.pid}/ns/user`;
    const own = readlinkSync("/proc/self/ns/user");
    const deadline = performance.now() + unshareTimeoutMs;
    while (readlinkSync(path) === own) {
      if (performance.now() > deadline) throw new Error("the namespace did not come");
      Bun.sleepSync(0.2);
    }
    writeFileSync(`/proc/${child.pid}/uid_map`, uids);
    writeFileSync(`/proc/${child.pid}/gid_map`, gids);
    return new OwnedFd(kernel, kernel.open(path, openFlags.readOnly));
  } catch (error) {
    throw fault("unavailable", `make a user namespace: ${messageOf(error)}`, { cause: error });
  } finally {
    child.kill("SIGKILL");
  }
}

const searchPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** A mapping as the kernel reads it. */
function parseIdMap(text: string): string {
  return text
    .split(",")
    .map(parseRange)
    .map(({ container, host, length }) => `${container} ${host} ${length}\n`)
    .join("");
}

function parseRange(text: string): IdRange {
  const match = /^(\d{1,10}):(\d{1,10}):(\d{1,10})$/.exec(text);
  if (match === null) {
    throw fault("invalidArgument", "user namespace mappings require the format `container-id:host-id:size`");
  }
  return { container: Number(match[1]), host: Number(match[2]), length: Number(match[3]) };
}
