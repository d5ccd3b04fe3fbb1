import { readdirSync, readFileSync, readlinkSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { closeQuietly, type Fd, isErrno, type Kernel, OwnedFd } from "../../sys/index.ts";
import { readStat } from "../process/process-handle.ts";
import type { PidRecord } from "../state/records.ts";

/** The two ends of the queue that a keeper holds. */
export interface QueueEnds {
  /** What is sent here waits at `out`. */
  readonly in: Fd;
  readonly out: Fd;
}

export interface StartedKeeper {
  readonly process: PidRecord;
  /** The keeper ends when the last copy of this is closed. */
  readonly lifeline: Fd;
}

/** The descriptors under which a keeper has the queue's ends. */
const [inFd, outFd] = [3, 4];
const fileName = "keeper.json";

/** A queue that nobody holds yet. */
export function newQueue(kernel: Kernel): QueueEnds {
  const [input, out] = kernel.socketPair();
  return { in: input, out };
}

/** What a folder says of its keeper. */
interface KeeperRecord extends PidRecord {
  /** The queue's end that the keeper has as its first descriptor, as /proc names it. */
  readonly socket: string;
}

/**
 * Starts a process that does nothing but hold a queue's two ends, so that what lies in it outlives this host.
 * Shape: `cat`, reading a pipe into which nobody writes, in a session of its own. It ends by itself when the pipe does:
 * a host that dies before it has put the lifeline into the queue leaves no process behind.
 */
export function startKeeper(kernel: Kernel, folder: string, ends: QueueEnds): StartedKeeper {
  const [read, write] = kernel.pipe();
  try {
    const child = Bun.spawn(["cat"], {
      stdio: [read, "ignore", "ignore", ends.in, ends.out],
      // Says to people whose it is; nothing reads it.
      env: { LIGHTER_KEEPER_OF: folder },
      detached: true,
      cwd: "/",
    });
    child.unref();
    return { process: { pid: child.pid, startTime: readStat(child.pid)?.startTime ?? 0 }, lifeline: write };
  } catch (error) {
    closeQuietly(kernel, write);
    throw error;
  } finally {
    closeQuietly(kernel, read);
  }
}

/** Says on disk who the keeper is; before there is one (undefined), by what it can be told. */
export function saveKeeper(folder: string, ends: QueueEnds, process: PidRecord | undefined): void {
  const record = { schema: 1, pid: 0, startTime: 0, ...process, socket: readlinkSync(`/proc/self/fd/${ends.in}`) };
  const path = join(folder, fileName);
  writeFileSync(`${path}.new`, JSON.stringify(record), { mode: 0o600 });
  renameSync(`${path}.new`, path);
}

/** The keeper of an earlier host with copies of its queue's ends; undefined when it is gone, or the kernel does not let us. */
export function findKeeper(
  kernel: Kernel,
  folder: string,
): { readonly process: PidRecord; readonly ends: QueueEnds } | undefined {
  const process = findKeeperProcess(folder);
  if (process === undefined) return undefined;
  try {
    using pidfd = new OwnedFd(kernel, kernel.pidfdOpen(process.pid));
    const input = kernel.pidfdGetFd(pidfd.fd, inFd);
    return { process, ends: { in: input, out: kernel.pidfdGetFd(pidfd.fd, outFd) } };
  } catch (error) {
    if (isErrno(error, "ESRCH", "EPERM", "EBADF", "ENOSYS")) return undefined;
    throw error;
  }
}

function findKeeperProcess(folder: string): PidRecord | undefined {
  const record = readRecord(join(folder, fileName));
  if (record === undefined) return undefined;
  // A host that died right after it had started one did not come to write its number down.
  return runs(record) ? record : findBySocket(record.socket);
}

function findBySocket(socket: string): PidRecord | undefined {
  for (const name of readdirSync("/proc")) {
    const pid = Number(name);
    const stat = Number.isSafeInteger(pid) && heldSocket(pid) === socket ? readStat(pid) : undefined;
    if (stat !== undefined) return { pid, startTime: stat.startTime };
  }
  return undefined;
}

function heldSocket(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${inFd}`);
  } catch {
    // Gone, not ours to look into, or without such a descriptor: not the keeper.
    return undefined;
  }
}

/** Ends a keeper; one that is gone is fine. */
export function endKeeper(kernel: Kernel, folder: string, process: PidRecord | undefined): void {
  if (process !== undefined && runs(process)) {
    try {
      kernel.kill(process.pid, 9);
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
  }
  rmSync(join(folder, fileName), { force: true });
}

function runs(record: PidRecord): boolean {
  if (record.pid === 0) return false;
  const stat = readStat(record.pid);
  return stat !== undefined && stat.startTime === record.startTime && !"ZX".includes(stat.state);
}

function readRecord(path: string): KeeperRecord | undefined {
  try {
    const { pid, startTime, socket } = JSON.parse(readFileSync(path, "utf8"));
    const isSound = Number.isSafeInteger(pid) && pid >= 0 && Number.isSafeInteger(startTime);
    return isSound && typeof socket === "string" ? { pid, startTime, socket } : undefined;
  } catch (error) {
    // Never written, or by somebody else: there is no keeper to be found by it.
    if (isErrno(error, "ENOENT") || error instanceof SyntaxError) return undefined;
    throw error;
  }
}
