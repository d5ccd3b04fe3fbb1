import { join } from "node:path";
import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import { create } from "@bufbuild/protobuf";
import type { Clock } from "../lib/clock.ts";
import type { Failpoint } from "../lib/failpoints.ts";
import type { Logger } from "../lib/log.ts";
import type { FdWatcher, Kernel } from "../sys/index.ts";
import { anyOf } from "../wire/any.ts";
import type { CgroupMounts } from "./cgroup/locate.ts";
import type { MoveLock } from "./cgroup/move-lock.ts";
import type { Keeper } from "./keeper/keeper.ts";
import { OciRuntime } from "./runtime/oci-runtime.ts";
import type { RuntimeKinds } from "./runtime/runtime-kind.ts";
import type { SealedPrograms } from "./runtime/sealed-programs.ts";
import type { Spawner } from "./runtime/spawner.ts";
import type { EventJournal } from "./state/event-journal.ts";
import type { RuntimeRecord } from "./state/records.ts";
import type { StateFiles } from "./state/state-file.ts";
import type { OutputLogs } from "./stdio/output-logs.ts";
import type { DepartingRoots } from "./task/departing-roots.ts";
import type { Task, TaskTable } from "./task/task.ts";

/** The steps of the host's operations between which it may die, in their order. */
export const hostSteps = [
  "create.recorded",
  "create.mounted",
  "create.made",
  "create.kept",
  "create.announced",
  "create.saved",
  "start.held",
  "start.reached",
  "start.opened",
  "start.released",
  "start.announced",
  "start.saved",
  "exec.written",
  "exec.announced",
  "exec.saved",
  "exec-start.made",
  "exec-start.kept",
  "exec-start.announced",
  "exec-start.saved",
  "exit.announced",
  "exit.saved",
  "exec-delete.released",
  "exec-delete.saved",
  "delete.marked",
  "delete.forgotten",
  "delete.released",
  "delete.unmounted",
  "delete.announced",
  "delete.removed",
] as const;

/** Those of a checkpoint, and of its restore. */
export const checkpointSteps = [
  "checkpoint.recorded",
  "checkpoint.dumped",
  "checkpoint.noted",
  "checkpoint.announced",
  "checkpoint.saved",
  "restore.made",
] as const;

export type HostStep = (typeof hostSteps)[number] | (typeof checkpointSteps)[number];

/** What the host's operations share. */
export interface HostParts {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly spawner: Spawner;
  readonly kinds: RuntimeKinds;
  readonly programs: SealedPrograms;
  readonly tasks: TaskTable;
  readonly states: StateFiles;
  readonly journal: EventJournal;
  readonly keeper: Keeper;
  readonly logs: OutputLogs;
  readonly roots: DepartingRoots;
  readonly log: Logger;
  readonly failpoint: Failpoint<HostStep>;
  readonly now: Clock;
  /** The host's own folder. */
  readonly folder: string;
  readonly defaultRuntime: string;
  readonly cgroupMounts: CgroupMounts;
  readonly moveLock: MoveLock;
}

/** Topics of a task's events. Source: containerd core/runtime/events.go. */
export const topics = {
  create: "/tasks/create",
  start: "/tasks/start",
  oom: "/tasks/oom",
  exit: "/tasks/exit",
  delete: "/tasks/delete",
  execAdded: "/tasks/exec-added",
  execStarted: "/tasks/exec-started",
  paused: "/tasks/paused",
  resumed: "/tasks/resumed",
  checkpointed: "/tasks/checkpointed",
} as const;

/** Puts an event of a task into the journal. */
export function publish<D extends DescMessage>(
  parts: HostParts,
  task: Task,
  topic: string,
  schema: D,
  event: MessageInitShape<D>,
): void {
  parts.journal.append(task.namespace, topic, anyOf(schema, create(schema, event)), parts.now());
}

/** Writes a task's state to disk. */
export function save(parts: HostParts, task: Task): void {
  parts.states.save(task.toRecord());
}

/** The command line of a task's runtime. */
export function createRuntime(parts: HostParts, record: RuntimeRecord, bundle: string): OciRuntime {
  const { spawner, programs } = parts;
  return new OciRuntime({ spawner, programs, settings: record, bundle, log: join(bundle, "log.json") });
}
