import { readFileSync } from "node:fs";
import { type Fd, type Kernel, SysError } from "../../sys/index.ts";

/**
 * What an output's FIFO holds: four times the kernel's own size. Writer and reader wake each other a quarter as often; more than
 * this gains little, and what a reader has not taken is kernel memory (64 pages a pipe).
 */
export const outputPipeBytes: number = 256 * 1024;

/** What stdin's FIFO holds. Few processes have one, and what feeds them is mostly a file, in blocks as large as they come. */
export const inputPipeBytes: number = 1024 * 1024;

/**
 * Makes a stream's pipe hold more, so that its writer and its reader take turns less often.
 * Shape: one that holds as much already, or more, is left alone. Undefined when it is done, else why it stays as it is: a bound
 * of the system's is no failure of a process's.
 * Source: pipe(7), "Pipe capacity"; a holder of CAP_SYS_RESOURCE is not bound.
 */
export function enlargePipe(
  kernel: Pick<Kernel, "pipeSize" | "setPipeSize">,
  fd: Fd,
  bytes: number,
): string | undefined {
  try {
    if (kernel.pipeSize(fd) < bytes) kernel.setPipeSize(fd, bytes);
    return undefined;
  } catch (error) {
    if (!(error instanceof SysError)) throw error;
    return error.code === "EPERM" ? `${error.message}: ${boundsOfPipes()}` : error.message;
  }
}

/** The bounds that an unprivileged process meets, as an administrator finds them. */
function boundsOfPipes(): string {
  return ["pipe-max-size", "pipe-user-pages-soft", "pipe-user-pages-hard"].map(bound).join(", ");
}

function bound(name: string): string {
  const path = `/proc/sys/fs/${name}`;
  try {
    return `${path} is ${readFileSync(path, "utf8").trim()}`;
  } catch {
    // No /proc, or an old kernel: the reason says less, and the pipe works all the same.
    return `${path} can't be read`;
  }
}
