import { FaultError } from "../../lib/faults.ts";
import { type HostParts, save } from "../parts.ts";
import type { TaskProcess } from "../process/process.ts";
import type { Task } from "../task/task.ts";

const maxSize = 65535;

/** Sets the size of a process's terminal; one without a terminal is left alone. Errors: unknown for a stopped exec, as containerd's shim. */
export function resizeTerminal(process: TaskProcess, columns: number, rows: number): void {
  if (process.status === "stopped" && process.execId !== "") {
    throw new FaultError("unknown", "cannot resize a stopped container");
  }
  if (process.status === "stopped") return;
  process.terminal?.resize(Math.min(columns, maxSize), Math.min(rows, maxSize));
}

/** Lets go of the host's end of stdin, so that it ends when clients have closed theirs; doing it again changes nothing. */
export function closeStdin(parts: HostParts, task: Task, execId: string): void {
  const process = task.process(execId);
  if (process.stdinClosed) return;
  process.closeStdin();
  save(parts, task);
}
