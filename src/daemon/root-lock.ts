import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FaultError } from "../lib/faults.ts";
import { type Kernel, lockKinds, openFlags } from "../sys/index.ts";

/** Where a folder's daemon leaves its process id, and holds its lock. */
export const lockName = "lighterd.lock";

/**
 * Takes a folder for this daemon alone: the root, or the state. The kernel lets go of it when the process ends, however it ends.
 * Errors: failedPrecondition (another daemon has it, named by its pid).
 */
export async function lockFolder(
  what: "root" | "state",
  folder: string,
  kernel: Pick<Kernel, "open" | "tryLock" | "close">,
): Promise<Disposable> {
  const path = join(folder, lockName);
  const fd = kernel.open(path, openFlags.readWrite | openFlags.create, 0o600);
  if (!kernel.tryLock(fd, lockKinds.exclusive)) {
    kernel.close(fd);
    const pid = (await readFile(path, "utf8")).trim();
    const who = /^\d+$/.test(pid) ? `the daemon with pid ${pid}` : "another daemon";
    throw new FaultError(
      "failedPrecondition",
      `${what} ${folder} is in use by ${who}; stop that one, or choose another folder with --${what}`,
    );
  }
  await Bun.write(path, `${process.pid}\n`);
  return { [Symbol.dispose]: () => kernel.close(fd) };
}
