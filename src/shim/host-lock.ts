import { fstatSync, statSync } from "node:fs";
import { join } from "node:path";
import { fault, quote } from "../lib/faults.ts";
import { type Kernel, lockKinds, OwnedFd, openFlags } from "../sys/index.ts";

/**
 * Takes the state folder for this process alone, until it ends.
 * Errors: unavailable when another host has it.
 */
export function lockFolder(kernel: Kernel, folder: string): OwnedFd {
  const lock = new OwnedFd(
    kernel,
    kernel.open(join(folder, "host.lock"), openFlags.create | openFlags.readWrite, 0o600),
  );
  // A host that left nothing took the file with it: a lock on one that has no name any more keeps nobody out.
  if (kernel.tryLock(lock.fd, lockKinds.exclusive) && isNamed(lock.fd, join(folder, "host.lock"))) return lock;
  lock[Symbol.dispose]();
  throw fault("unavailable", `another shim host runs on ${quote(folder)}`);
}

function isNamed(fd: number, path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.ino === fstatSync(fd).ino;
}
