import { type FileEventCalls, fileEventCalls } from "./file-events.ts";
import { type FileCalls, fileCalls } from "./files.ts";
import { type IsolationCalls, isolationCalls } from "./isolation.ts";
import { type LoopCalls, loopCalls } from "./loop-devices.ts";
import { type MountTreeCalls, mountTreeCalls } from "./mount-trees.ts";
import { type MountCalls, mountCalls } from "./mounts.ts";
import { type PollCalls, pollCalls } from "./polling.ts";
import { type ProcessCalls, processCalls } from "./processes.ts";
import { type SealedFileCalls, sealedFileCalls } from "./sealed-files.ts";
import { type SocketCalls, socketCalls } from "./sockets.ts";
import { type TerminalCalls, terminalCalls } from "./terminals.ts";
import { type XattrCalls, xattrCalls } from "./xattrs.ts";

/**
 * Everything that the project asks of the kernel beyond what the runtime offers.
 * Shape: values in, values out. Errors: SysError, always. Effects: each call takes microseconds unless its docstring says that it can block.
 */
export interface Kernel
  extends FileCalls,
    FileEventCalls,
    SealedFileCalls,
    MountCalls,
    MountTreeCalls,
    LoopCalls,
    XattrCalls,
    ProcessCalls,
    IsolationCalls,
    TerminalCalls,
    SocketCalls,
    PollCalls {}

/** The real kernel. */
export function createKernel(): Kernel {
  return {
    ...fileCalls,
    ...fileEventCalls,
    ...sealedFileCalls,
    ...mountCalls,
    ...mountTreeCalls,
    ...loopCalls,
    ...xattrCalls,
    ...processCalls,
    ...isolationCalls,
    ...terminalCalls,
    ...socketCalls,
    ...pollCalls,
  };
}
