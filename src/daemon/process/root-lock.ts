import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { FaultError } from "../../lib/faults.ts";
import { type Fd, type Kernel, lockKinds, openFlags } from "../../sys/index.ts";

/** Where a folder's daemon leaves its process id, and holds its lock. */
export const lockName = "lighterd.lock";

/**
 * Takes a folder for this daemon alone: the root, or the state. The kernel lets go of it when the process ends, however it ends.
 * Shape: `patienceMs` is for the end of a process that is known to end. Errors: failedPrecondition (another daemon has it, named
 * by its pid).
 */
export async function lockFolder(
  what: "root" | "state",
  folder: string,
  kernel: Pick<Kernel, "open" | "tryLock" | "close">,
  patienceMs = 0,
): Promise<Disposable> {
  const path = join(folder, lockName);
  const fd = kernel.open(path, openFlags.readWrite | openFlags.create, 0o600);
  if (!(await locked(fd, kernel, patienceMs))) {
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

const tickMs = 10;

async function locked(fd: Fd, kernel: Pick<Kernel, "tryLock">, patienceMs: number): Promise<boolean> {
  const deadline = performance.now() + patienceMs;
  while (!kernel.tryLock(fd, lockKinds.exclusive)) {
    if (performance.now() >= deadline) return false;
    await Bun.sleep(tickMs);
  }
  return true;
}
