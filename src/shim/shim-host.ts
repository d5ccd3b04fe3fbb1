import { closeSync, mkdirSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { systemClock } from "../lib/clock.ts";
import { createFailpoint, failpointVariable } from "../lib/failpoints.ts";
import { messageOf } from "../lib/faults.ts";
import { createLogger, type Logger } from "../lib/log.ts";
import { productVersion } from "../lib/version.ts";
import { createFdWatcher, createKernel, type Kernel } from "../sys/index.ts";
import { createTtrpcServer } from "../wire/ttrpc/index.ts";
import { readCgroupMounts } from "./cgroup/locate.ts";
import { MoveLock } from "./cgroup/move-lock.ts";
import { EventForwarder } from "./event-forwarder.ts";
import type { HostOptions, ShimHost } from "./host.ts";
import { lockFolder } from "./host-lock.ts";
import { createHostService } from "./host-service.ts";
import { openHostTracing } from "./host-tracing.ts";
import { endWhenIdle } from "./idle-end.ts";
import { Keeper } from "./keeper/keeper.ts";
import { openNamespaceSockets } from "./namespace-sockets.ts";
import type { HostParts } from "./parts.ts";
import { reapOrphans } from "./process/orphans.ts";
import { recoverTasks } from "./recovery/recovery.ts";
import { RuntimeKinds } from "./runtime/runtime-kind.ts";
import { openRuntimeMounts } from "./runtime/runtime-mounts.ts";
import { SealedPrograms } from "./runtime/sealed-programs.ts";
import { createSpawner } from "./runtime/spawner.ts";
import { EventJournal } from "./state/event-journal.ts";
import { StateFiles } from "./state/state-file.ts";
import { OutputLogs } from "./stdio/output-logs.ts";
import { DepartingRoots } from "./task/departing-roots.ts";
import { TaskTable } from "./task/task.ts";
import { createTaskServices } from "./task-service.ts";

/**
 * Runs a shim host in this process: takes its folder, adopts what an earlier host left, and serves.
 * Errors: unavailable (another host has the folder, or the socket can't be opened).
 * Effects: makes the process a child subreaper.
 */
export async function runShimHost(options: HostOptions): Promise<ShimHost> {
  const kernel = createKernel();
  mkdirSync(options.state, { recursive: true, mode: 0o700 });
  await using stack = new AsyncDisposableStack();
  stack.use(lockFolder(kernel, options.state));
  let hasNothingLeft = false;
  stack.defer(() => {
    if (hasNothingLeft) rmSync(options.state, { recursive: true, force: true });
  });
  const log = stack.use(openLog(options));
  becomeReaper(kernel, log);
  const parts = createParts(kernel, options, log, stack);
  stack.use(reapOrphans(parts));
  const broken = await recoverTasks(parts);
  parts.keeper.settle(({ namespace, id }) => broken.find(namespace, id) !== undefined);
  const { promise: ended, resolve } = Promise.withResolvers<void>();
  const services = [
    ...createTaskServices(parts, productVersion, broken),
    createHostService({
      parts,
      version: productVersion,
      broken,
      open: async (namespace) => (await sockets).open(namespace),
      shutdown: () => setImmediate(resolve),
    }),
  ];
  const tracing = stack.use(await openHostTracing(process.env, log));
  const server = stack.use(createTtrpcServer({ services, log, tracer: tracing?.ttrpc }));
  // Before callers see it go: a keeper that is there afterwards tells them that this host was killed.
  stack.defer(() => parts.keeper.endIdle());
  // The lock says that nobody serves there; what lies there is a dead host's.
  rmSync(options.socket, { force: true });
  const sockets = openNamespaceSockets(server, options.socket, options.state);
  await sockets;
  await server.listen(options.socket);
  const end = (): void => {
    // Under somebody else's containerd nobody comes back to the folder; our daemon keeps its own in order.
    hasNothingLeft = options.events !== undefined;
    resolve();
  };
  stack.use(endWhenIdle({ parts, broken, server, end }));
  if (options.events !== undefined) {
    stack.use(new EventForwarder({ address: options.events, journal: parts.journal, log }));
  }
  // The first container finds it read.
  parts.programs.find(parts.defaultRuntime);
  log.info("shim host serves", { socket: options.socket, pid: process.pid, tasks: parts.tasks.size });
  const owned = stack.move();
  return { ended, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

function createParts(kernel: Kernel, options: HostOptions, log: Logger, stack: AsyncDisposableStack): HostParts {
  const onError = (error: unknown): void =>
    log.error("a watched descriptor's handler failed", { error: stackOf(error) });
  const watcher = stack.use(createFdWatcher({ kernel, onError }));
  const cgroupMounts = readCgroupMounts();
  const runtimeMounts = stack.use(openRuntimeMounts(kernel, cgroupMounts));
  const spawner = createSpawner({
    limit: 2 * availableParallelism(),
    env: process.env,
    around: (start) => runtimeMounts.around(start),
  });
  const kinds = new RuntimeKinds(spawner);
  const now = systemClock;
  const journal = stack.use(new EventJournal({ path: join(options.state, "events.journal"), log }));
  return {
    kernel,
    watcher,
    spawner,
    kinds,
    programs: stack.use(new SealedPrograms({ kernel, kinds, log, now })),
    tasks: new TaskTable(),
    states: new StateFiles(join(options.state, "tasks")),
    journal,
    keeper: stack.use(new Keeper({ kernel, watcher, folder: options.state, log })),
    logs: stack.use(new OutputLogs({ kernel, watcher, log, now })),
    roots: new DepartingRoots({ kernel, log }),
    log,
    failpoint: createFailpoint(process.env[failpointVariable]),
    now,
    folder: options.state,
    defaultRuntime: options.runtime ?? (Bun.which("crun") === null ? "runc" : "crun"),
    cgroupMounts,
    moveLock: new MoveLock({ mounts: cgroupMounts, log }),
  };
}

function openLog({ logFile, logLevel }: HostOptions): Logger & Disposable {
  const fd = logFile === undefined ? 2 : openSync(logFile, "a", 0o600);
  const log = createLogger({ level: logLevel, format: "text", write: (line) => void writeSync(fd, line) });
  return Object.assign(log, {
    [Symbol.dispose]: () => {
      if (logFile !== undefined) closeSync(fd);
    },
  });
}

function becomeReaper(kernel: Kernel, log: Logger): void {
  kernel.newSession();
  kernel.becomeSubreaper();
  try {
    // One above the daemon's, as containerd does for its shims. Source: containerd pkg/shim/util_unix.go, AdjustOOMScore.
    const score = Number(readFileSync("/proc/self/oom_score_adj", "utf8"));
    writeFileSync("/proc/self/oom_score_adj", String(Math.min(1000, score + 1)));
  } catch (error) {
    log.warn("could not adjust the OOM score", { error: messageOf(error) });
  }
}

const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
