import { heapStats } from "bun:jsc";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { TaskFigures } from "../../core/tasks/index.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { messageOf } from "../../lib/faults.ts";
import { nameOf } from "./calls-under-way.ts";

export interface OpenDescriptor {
  readonly fd: number;
  readonly target: string;
}

/** What each descriptor of this process stands for, as /proc shows it. */
export function openDescriptors(): readonly OpenDescriptor[] {
  return readdirSync("/proc/self/fd").map((name) => {
    try {
      return { fd: Number(name), target: readlinkSync(`/proc/self/fd/${name}`) };
    } catch {
      return { fd: Number(name), target: "closed" }; // the one that read this very folder
    }
  });
}

export interface ChildProcess {
  readonly pid: number;
  readonly name: string;
}

/** The processes that this one started and that have not ended. */
export function childProcesses(): readonly ChildProcess[] {
  let text = "";
  try {
    text = readFileSync(`/proc/self/task/${process.pid}/children`, "utf8");
  } catch {
    // A kernel without that file: there is nothing to tell.
  }
  const pids = text.split(" ").filter(Boolean).map(Number);
  return pids.map((pid) => ({ pid, name: nameOf(pid) }));
}

export interface TaskState {
  readonly namespace: string;
  readonly id: string;
  readonly pid: number;
  readonly state: string;
}

const stateNames: ReadonlyMap<number, string> = new Map(
  Object.entries(Status).map(([name, number]) => [number, name.toLowerCase()]),
);

/** So many shims are asked at once; a task's state may take two seconds. */
const askedAtOnce = 16;
/** The most tasks that are told of. */
const mostTasks = 1000;

/** What shims say of the daemon's tasks, or why they do not. Effects: waits for each for as long as a state may take. */
export async function taskStates(tasks: Pick<TaskFigures, "all"> | undefined): Promise<readonly TaskState[]> {
  const waiting = (tasks?.all() ?? []).slice(0, mostTasks);
  const states: TaskState[] = [];
  const ask = async (): Promise<void> => {
    for (let task = waiting.shift(); task !== undefined; task = waiting.shift()) {
      const { namespace, id } = task;
      const found = await task.state("").then(
        ({ pid, status }) => ({ pid, state: stateNames.get(status) ?? String(status) }),
        (error: unknown) => ({ pid: 0, state: messageOf(error) }),
      );
      states.push({ namespace, id, ...found });
    }
  };
  await Promise.all(Array.from({ length: askedAtOnce }, ask));
  return states.toSorted((a, b) => (`${a.namespace}/${a.id}` < `${b.namespace}/${b.id}` ? -1 : 1));
}

/** How much the JavaScript heap holds. */
export function heapFigures(): { readonly heapSize: number; readonly objectCount: number } {
  const { heapSize, objectCount } = heapStats();
  return { heapSize, objectCount };
}
