import type { Fd } from "../../sys/index.ts";
import { drawers, type Kept, type KeptRecord } from "../keeper/kept.ts";
import type { HostParts } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import type { KnownKind } from "../runtime/exec-fifo.ts";
import type { Task } from "./task.ts";

/**
 * Gives the keeper what a process needs of the next host, should this one die: its pidfd, stdin's writer, its terminal.
 * Effects: to be called once all of it is there, and before anybody is told of the process.
 */
export function keepProcess(parts: HostParts, task: Task, process: TaskProcess): void {
  const { handle, terminal, stdinWriter, pendingStdin } = process;
  const streams = new Map<string, ReadonlyMap<string, Fd>>();
  const writer = terminal?.stdinWriter ?? stdinWriter?.fd;
  if (writer !== undefined) streams.set(drawers.stdin, new Map([["writer", writer]]));
  else if (pendingStdin !== undefined) streams.set(drawers.stdin, new Map()); // filled at the start
  if (terminal !== undefined) streams.set(drawers.terminal, terminal.streams);
  const kept = parts.keeper.keep(keptRecord(task, process), handle?.pidfd, streams);
  process.kept = kept;
  // Readers see the end of the output only when nobody holds their FIFO any more.
  void terminal?.drained.then(() => kept.drop(drawers.terminal));
}

/** What tells a process from all others, for the keeper. */
export function keptRecord({ namespace, id }: Task, { execId, pid, startTime }: TaskProcess): KeptRecord {
  return { namespace, id, execId, pid, startTime };
}

/** What a release is kept under beside its process: no exec can have this name. */
const releaseName = "/release";

/**
 * Keeps the FIFO by which init is let go, until that is over: init must find its other end whoever dies.
 * Shape: in the drawer it has its runtime's kind for a name, so that the next host needs to ask nobody.
 */
export function keepRelease(parts: HostParts, task: Task, kind: KnownKind, fifo: Fd): Disposable {
  const streams = new Map([[drawers.release, new Map([[kind, fifo]])]]);
  const kept = parts.keeper.keep(releaseRecord(task), undefined, streams);
  return { [Symbol.dispose]: () => kept.dropAll() };
}

/** What an earlier host kept of init's release; undefined when it was not in the middle of one. */
export function takeRelease(parts: HostParts, task: Task): Kept | undefined {
  return parts.keeper.take(releaseRecord(task))?.kept;
}

function releaseRecord(task: Task): KeptRecord {
  return { ...keptRecord(task, task.init), execId: releaseName };
}
