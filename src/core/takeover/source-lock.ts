import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { FaultError } from "../../lib/faults.ts";
import { isErrno, type Kernel, lockKinds } from "../../sys/index.ts";

/**
 * Takes the lock that containerd takes on its own database; undefined when there is no such file. Who has it can rely on that no
 * containerd serves this root meanwhile: one that is started waits.
 * Errors: failedPrecondition, naming who has it. Source: bbolt bolt_unix.go, flock.
 */
export function lockSource(
  path: string,
  kernel: Pick<Kernel, "tryLock">,
  kind: "shared" | "exclusive",
): Disposable | undefined {
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  if (kernel.tryLock(fd, lockKinds[kind])) return { [Symbol.dispose]: () => closeSync(fd) };
  const holder = holderOf(fstatSync(fd).ino);
  closeSync(fd);
  throw new FaultError(
    "failedPrecondition",
    `${path} is in use by ${holder}; stop it first, its containers keep running`,
  );
}

/** Source: proc(5), /proc/locks: `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE 0 EOF`. */
function holderOf(inode: number): string {
  const lines = readFileSync("/proc/locks", "utf8").split("\n");
  const pid = lines.map((line) => line.split(/\s+/)).find((words) => words[5]?.endsWith(`:${inode}`))?.[4];
  if (pid === undefined || !/^\d+$/.test(pid)) return "a containerd";
  try {
    return `${readFileSync(`/proc/${pid}/comm`, "utf8").trim()} with pid ${pid}`;
  } catch {
    // It ended meanwhile, or is in another pid namespace.
    return `the process ${pid}`;
  }
}
