import type { MessageInitShape } from "@bufbuild/protobuf";
import { Host, type ListResponseSchema, type ProcessSchema, type TaskSchema } from "../gen/lighter/shim/v1/host_pb.ts";
import { durationBounds } from "../lib/durations.ts";
import { failedPrecondition } from "../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../wire/service.ts";
import type { HostParts } from "./parts.ts";
import type { TaskProcess } from "./process/process.ts";
import type { BrokenTasks } from "./recovery/broken.ts";
import { isOfSandbox } from "./sandbox/sandbox-files.ts";
import { statusOf } from "./task/status.ts";
import type { Task } from "./task/task.ts";

/** The protocol that host.proto describes. */
export const hostProtocol = 1;

export interface HostServiceOptions {
  readonly parts: HostParts;
  readonly version: string;
  readonly broken: BrokenTasks;
  /** Opens the socket of one namespace. */
  readonly open: (namespace: string) => Promise<string>;
  /** Ends the host, after the answer has gone out. */
  readonly shutdown: () => void;
}

/** What a daemon asks of the host itself. */
export function createHostService({ parts, version, broken, open, shutdown }: HostServiceOptions): ServiceDefinition {
  const instance = crypto.randomUUID();
  return defineService(Host, {
    info: () => ({ protocol: hostProtocol, version, pid: process.pid, instance }),
    list: () => ({
      ...taskMessages(parts),
      broken: broken.all().map(({ namespace, id, bundle, reason }) => ({ namespace, id, bundle, reason })),
    }),
    events: (ctx, { after }) => parts.journal.read(after, ctx.signal),
    acknowledge: (_ctx, { sequence }) => {
      parts.journal.acknowledge(sequence);
      return {};
    },
    open: async (_ctx, { namespace }) => ({ socket: await open(namespace) }),
    expect: () => {
      parts.moveLock.expect();
      return {};
    },
    figures: () => ({
      spawns: {
        bounds: [...durationBounds],
        counts: [...parts.spawner.times.counts].map(BigInt),
        totalSeconds: parts.spawner.times.sum,
      },
      spawnsUnderWay: parts.spawner.inFlight,
      residentBytes: BigInt(process.memoryUsage.rss()),
    }),
    shutdown: (_ctx, { force }) => {
      if (!force && parts.tasks.size > 0) throw failedPrecondition(`host has ${parts.tasks.size} tasks`);
      shutdown();
      return {};
    },
  });
}

function taskMessages(parts: HostParts): Pick<MessageInitShape<typeof ListResponseSchema>, "tasks" | "unsettled"> {
  const all = parts.tasks.all().filter(({ namespace, id }) => !isOfSandbox(parts.folder, namespace, id));
  const { true: unsettled = [], false: settled = [] } = Object.groupBy(all, (task) => `${isUnsettled(task)}` as const);
  return {
    tasks: settled.map(taskMessage),
    unsettled: unsettled.map(({ namespace, id, bundle }) => ({ namespace, id, bundle })),
  };
}

/** A deletion that failed is over, though it has left its mark. */
function isUnsettled({ phase, lock }: Task): boolean {
  return phase === "creating" || (phase === "deleting" && lock.isExclusive);
}

function taskMessage(task: Task): MessageInitShape<typeof TaskSchema> {
  return {
    namespace: task.namespace,
    id: task.id,
    bundle: task.bundle,
    processes: task.processes().map((process) => processMessage(task, process)),
  };
}

function processMessage(task: Task, process: TaskProcess): MessageInitShape<typeof ProcessSchema> {
  return {
    execId: process.execId,
    pid: process.pid,
    status: statusOf(task, process),
    exitStatus: process.exitStatus,
    ...(process.exitedAt === undefined ? {} : { exitedAt: process.exitedAt.toTimestamp() }),
  };
}
