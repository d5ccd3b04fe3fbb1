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
  if (kernel.tryLock(lock.fd, lockKinds.exclusive)) return lock;
  lock[Symbol.dispose]();
  throw fault("unavailable", `another shim host runs on ${quote(folder)}`);
}
