export { busyboxImage, writeBusyboxImage, writeBusyboxRootfs } from "./busybox-image.ts";
export type { Daemon, RuntimeName } from "./daemon.ts";
export { daemonKind, insideLegacyCgroups, startContainerd, startDaemon, startLighter } from "./daemons.ts";
export { criuFolder, missing, testNeeding } from "./requirements.ts";
export { findProcesses, isEmpty, snapshotResources } from "./resources.ts";
export { type RunResult, run, runInTerminal, runOk, type TerminalSession } from "./run.ts";
export { daemonNeeds, importBusybox, type SharedDaemon, sharedDaemon } from "./shared-daemon.ts";
export { waitFor } from "./wait.ts";
export { createWorkspace, expectNoLeaks, type Workspace } from "./workspace.ts";
