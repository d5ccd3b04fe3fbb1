import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { isErrno } from "../../sys/index.ts";

/**
 * An open file of a container that lies outside of its mounts: a FIFO or a log that a client gave it.
 * Shape: `key` is CRIU's name for it, `file[MOUNT:INODE]` in hexadecimal.
 */
export interface ExternalFile {
  readonly key: string;
  /** The standard stream that it is, or once was. */
  readonly stream: 0 | 1 | 2;
}

/**
 * Finds what processes have open outside of the mounts of the first of them, init.
 * Shape: init's own come first. A process that ends meanwhile has nothing open.
 */
export async function findExternalFiles(init: number, pids: readonly number[]): Promise<ExternalFile[]> {
  const inside = await mountIdsOf(init);
  const found = new Map<string, ExternalFile>();
  for (const pid of [init, ...pids.filter((each) => each !== init)]) {
    for (const file of await externalFilesOf(pid, inside)) if (!found.has(file.key)) found.set(file.key, file);
  }
  return [...found.values()];
}

async function mountIdsOf(pid: number): Promise<ReadonlySet<number>> {
  const lines = (await readFile(`/proc/${pid}/mountinfo`, "utf8")).split("\n");
  return new Set(lines.map((line) => Number.parseInt(line, 10)));
}

async function externalFilesOf(pid: number, inside: ReadonlySet<number>): Promise<ExternalFile[]> {
  const files: ExternalFile[] = [];
  for (const fd of await openFdsOf(pid)) {
    const file = await whileThere(() => externalFile(pid, fd, inside));
    if (file !== undefined) files.push(file);
  }
  return files;
}

async function openFdsOf(pid: number): Promise<number[]> {
  const names = (await whileThere(() => readdir(`/proc/${pid}/fd`))) ?? [];
  return names.map(Number).sort((one, other) => one - other);
}

/** What has a path by its looks alone: memory that CRIU saves and brings back by itself. Source: memfd_create(2). */
const memoryPrefix = "/memfd:";

/** An open file, unless it is none (a pipe, a socket, memory) or lies inside. */
async function externalFile(pid: number, fd: number, inside: ReadonlySet<number>): Promise<ExternalFile | undefined> {
  const path = `/proc/${pid}/fd/${fd}`;
  const target = await readlink(path);
  if (!target.startsWith("/") || target.startsWith(memoryPrefix)) return undefined;
  const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8");
  const mount = Number(/^mnt_id:\s*(\d+)$/m.exec(info)?.[1]);
  if (inside.has(mount)) return undefined;
  const { ino } = await stat(path, { bigint: true });
  return { key: `file[${mount.toString(16)}:${ino.toString(16)}]`, stream: streamOf(fd, info) };
}

/** A shell moves its streams to other numbers: what is only read was stdin then. Source: proc_pid_fdinfo(5), flags. */
function streamOf(fd: number, info: string): 0 | 1 | 2 {
  if (fd === 0 || fd === 1 || fd === 2) return fd;
  const flags = Number.parseInt(/^flags:\s*([0-7]+)$/m.exec(info)?.[1] ?? "0", 8);
  return (flags & 3) === 0 ? 0 : 1;
}

async function whileThere<T>(read: () => Promise<T>): Promise<T | undefined> {
  try {
    return await read();
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
