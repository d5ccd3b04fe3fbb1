export { sendDatagram } from "./datagrams.ts";
export { createFdWatcher, type FdWatch, type FdWatcher, type FdWatcherOptions } from "./fd-watcher.ts";
export { type FileEvent, fileEvents, readFileEvents } from "./file-events.ts";
export {
  archOpenFlags,
  closeQuietly,
  deviceNumber,
  type Fd,
  type FileTime,
  lockKinds,
  openFlags,
  resolveFlags,
} from "./files.ts";
export { internetNameOf } from "./internet-address.ts";
export type { Capability } from "./isolation.ts";
export { createKernel, type Kernel } from "./kernel.ts";
export type { PathBytes } from "./libc.ts";
export { shrinkWhenIdle } from "./memory.ts";
export {
  detachAll,
  type MountOptions,
  type MountRequest,
  mountAll,
  mountRequest,
  parseMountOptions,
  unmountAll,
} from "./mount-spec.ts";
export { mountFlags, unmountFlags } from "./mounts.ts";
export { OwnedFd } from "./owned-fd.ts";
export { pollEvents, type ReadyFd } from "./polling.ts";
export { exitStatusOf, type Pid, type WaitStatus } from "./processes.ts";
export { openSha256, type Sha256 } from "./sha256.ts";
export type { FdMessage } from "./sockets.ts";
export { isErrno, SysError } from "./sys-error.ts";
export { rawAttributes } from "./terminals.ts";
export { monotonicMicroseconds, wallClock } from "./wall-clock.ts";
