import { join } from "node:path";
import { createCtx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import { defaultTimeLimits, type PassedOnEvents, type TimeLimits } from "../../plugin/index.ts";
import { createKernel, isErrno, type Kernel, unmountFlags } from "../../sys/index.ts";
import type { ContainerStore } from "../containers/index.ts";
import type { ContentStore } from "../content/index.ts";
import type { Exchange } from "../events/index.ts";
import type { MountManager } from "../mounts/index.ts";
import { createHostFiles, createProcessShims, type DaemonFacts, type Shim } from "../shims/index.ts";
import type { Deprecation } from "../warnings/index.ts";
import { createBundles, runtimeFolder } from "./bundles.ts";
import { EventIngest } from "./event-ingest.ts";
import type { TaskFigures } from "./figures.ts";
import type { HostConnection, HostLauncher, SharedHost } from "./host/host.ts";
import { hostSocketPath } from "./host/host-process.ts";
import { SupervisedHost } from "./host/supervised-host.ts";
import { ManagedTasks } from "./managed-tasks.ts";
import { OwnShims } from "./own-shims.ts";
import { RecentExits } from "./recent-exits.ts";
import { Reconciler } from "./reconciler.ts";
import { Recovery } from "./recovery.ts";
import { createRuntimeInfo } from "./runtime-info.ts";
import { createRuntimeResolver, type SandboxEndpointLookup } from "./runtimes.ts";
import { createScratch } from "./scratch.ts";
import { ShimTask } from "./shim-task.ts";
import type { CallTimes, DaemonFailpoint } from "./steps.ts";
import { TaskMounts } from "./task-mounts.ts";
import { TaskTable } from "./task-table.ts";
import type { OnLostTask, TaskManager } from "./tasks.ts";

export interface TaskManagerOptions {
  /** The daemon's root and state folders. */
  readonly root: string;
  readonly state: string;
  readonly containers: ContainerStore;
  readonly content: ContentStore;
  readonly exchange: Exchange;
  /** Makes the mounts that shims can't make. */
  readonly mounts: MountManager;
  readonly launcher: HostLauncher;
  /** What shims of other people are told of the daemon, and which runtimes get one though the host could run them. */
  readonly shims: ProcessShimsConfig;
  readonly log: Logger;
  /** The real one when left out. */
  readonly kernel?: Kernel | undefined;
  /** Where shims of other runtimes are looked for; PATH when left out. */
  readonly path?: string | undefined;
  /** containerd's defaults when left out. */
  readonly timeouts?: TimeLimits | undefined;
  /** What the daemon whose place this one takes has passed on of the host's events. */
  readonly passedOn?: PassedOnEvents | undefined;
  /** Where a test may have the daemon die; nowhere when left out. */
  readonly failpoint?: DaemonFailpoint | undefined;
  /** Hears of what a client did in a way that will go. */
  readonly deprecated?: ((deprecation: Deprecation) => void) | undefined;
}

/** What shims of other people are told, and which runtimes have one of their own though the shared host knows them. */
export interface ProcessShimsConfig extends DaemonFacts {
  readonly runtimes: ReadonlySet<string>;
  /** The host's own program, where it can be started as anybody's shim. */
  readonly hostShim?: string | undefined;
}

/** The shim controller's bundles, within the state folder. Source: containerd plugins/sandbox/controller.go. */
const sandboxFolder = "io.containerd.sandbox.controller.v1.shim";

/**
 * Makes the task manager and starts taking over the tasks of the daemon's last life.
 * Effects: returns at once; calls wait for the recovery. The host is started at the first sign of need, not before: a
 * container's record is made (its task follows within milliseconds, and finds the host up), or bundles of tasks exist. An
 * idle daemon has no host.
 */
export function createTaskManager(options: TaskManagerOptions): TaskManager {
  const {
    root,
    state,
    log,
    exchange,
    failpoint = () => {},
    deprecated = () => {},
    timeouts = defaultTimeLimits,
  } = options;
  const path = options.path ?? process.env["PATH"] ?? "";
  const closing = new AbortController();
  const table = new TaskTable();
  const locks = new KeyedMutex();
  const kernel = options.kernel ?? createKernel();
  const bundles = createBundles({ state, log, unmountTree: treeUnmounter(kernel) });
  const shims = createProcessShims({ daemon: options.shims, kernel, timeouts, log });
  const { hostShim } = options.shims;
  const hostFiles = createHostFiles({ kernel, folder: join(state, runtimeFolder), program: hostShim, log });
  const scratch = createScratch(root);
  const exits = new RecentExits();
  const watchers = new Set<CallTimes>();
  const timed: CallTimes = (call, ms) => {
    for (const watcher of watchers) watcher(call, ms);
  };
  const ingest = new EventIngest({ exchange, exits, log, failpoint, passedOn: options.passedOn });
  const host = new SupervisedHost({
    launcher: options.launcher,
    timeouts,
    log,
    needed: () =>
      table.all().some((task) => task.shim.own === undefined) || table.orphans.size > 0 || !recovery.settled,
    attach: (connection) => attach(connection),
  });
  const newTask = (parts: { namespace: string; id: string; bundle: string; shim?: Shim; broken?: string }): ShimTask =>
    new ShimTask({ shim: host, ...parts, exits, log, closing: closing.signal, timeouts, failpoint, timed });
  const losses = new Set<OnLostTask>();
  const lost: OnLostTask = (task) => {
    for (const listener of losses) listener(task);
  };
  const ownShims = new OwnShims({ shims, bundles, table, locks, exchange, lost, newTask, timeouts, log });
  const shared = { bundles, scratch, table, locks, exchange, newTask, timeouts, log };
  const reconciler = new Reconciler({ ...shared, ownShims, closing: closing.signal });
  const recovery = new Recovery({ bundles, host, hostFiles, reconciler, ownShims, log, closing: closing.signal });
  const attach = async (connection: HostConnection): Promise<void> => {
    await Promise.all([recovery.reconcile(connection), ingest.run(connection)]);
  };
  const runtimeInfo = createRuntimeInfo({ path, runtimeBinary: () => options.launcher.runtimeBinary });
  const sandboxEndpoints = new Set<SandboxEndpointLookup>();
  const recovering = recovery.run();
  const watching = prepareOnDemand(exchange, closing.signal, log, host, () => locks.size > 0);

  return new ManagedTasks({
    containers: options.containers,
    content: options.content,
    bundles,
    hostFiles,
    scratch,
    mounts: new TaskMounts({ manager: options.mounts, runtimeInfo, log }),
    resolver: createRuntimeResolver({
      host,
      shims,
      hostShim,
      ownShims: () => options.shims.runtimes,
      path,
      hostAddress: `ttrpc+unix://${hostSocketPath(state)}`,
      sandboxEndpoints,
      sandboxBundle: (namespace, id) => join(state, sandboxFolder, namespace, id),
    }),
    sandboxEndpoints,
    runtimeInfo,
    table,
    locks,
    newTask,
    watchShim: (task) => ownShims.watch(task),
    losses,
    recovery,
    figures: figuresOf({ table, locks, host, watchers }),
    timeouts,
    failpoint,
    deprecated,
    log,
    passedOn: () => ingest.passedOn,
    close: async () => {
      closing.abort();
      await ingest.flush();
      ingest[Symbol.dispose]();
      await Promise.all([host[Symbol.asyncDispose](), shims[Symbol.asyncDispose]()]);
      await recovering;
      hostFiles[Symbol.dispose]();
      await watching;
    },
  });
}

function figuresOf({
  table,
  locks,
  host,
  watchers,
}: {
  readonly table: TaskTable;
  readonly locks: KeyedMutex;
  readonly host: SharedHost;
  readonly watchers: Set<CallTimes>;
}): TaskFigures {
  return {
    all: () => table.all(),
    find: (namespace, id) => table.get(namespace, id),
    watchCalls: (watcher) => {
      const own: CallTimes = (call, ms) => watcher(call, ms);
      watchers.add(own);
      return { [Symbol.dispose]: () => void watchers.delete(own) };
    },
    get waiting() {
      return table.all().reduce((sum, task) => sum + task.waiting, 0);
    },
    get locksHeld() {
      return locks.size;
    },
    get callsHeldBack() {
      return host.current?.heldBack ?? 0;
    },
    host: async (timeoutMs) => {
      const { current } = host;
      if (current === undefined) return undefined;
      try {
        return { pid: current.pid, figures: await current.host.figures({}, { timeoutMs }) };
      } catch (error) {
        // A host of an older version goes on after an upgrade of the daemon.
        if (isFault(error, "notImplemented") || current.lost) return undefined;
        throw error;
      }
    },
  };
}

const containerMade = "/containers/create";
/** Clients make a container's snapshot right before its record. */
const signsOfTasks = [containerMade, "/snapshot/prepare"].map((topic) => `topic=="${topic}"`);

/** Starts the host when the first container is made, and tells it of all that come after: their tasks follow, mostly at once. */
async function prepareOnDemand(
  exchange: Exchange,
  signal: AbortSignal,
  log: Logger,
  host: Pick<SharedHost, "prepare" | "expect">,
  isBusy: () => boolean,
): Promise<void> {
  let isPrepared = false;
  try {
    for await (const { topic } of exchange.subscribe(createCtx({ signal }), signsOfTasks)) {
      // While tasks come and go the lock that it would take ahead of need is never out of use for long.
      if (!isBusy()) host.expect();
      if (isPrepared || topic !== containerMade) continue;
      isPrepared = true;
      host.prepare();
    }
  } catch (error) {
    // The first task starts the host as well.
    if (!signal.aborted) log.warn("watch for containers", { error });
  }
}

/** More mounts than a shim ever stacks on a root. */
const mountsMax = 16;

/** Detaches whatever is mounted at a path, and below it. */
export function treeUnmounter(kernel: Pick<Kernel, "unmount">): (path: string) => void {
  return (path) => {
    for (let count = 0; count < mountsMax; count += 1) {
      try {
        kernel.unmount(path, unmountFlags.detach | unmountFlags.noFollow);
      } catch (error) {
        if (isErrno(error, "EINVAL")) return;
        throw error;
      }
    }
  };
}
