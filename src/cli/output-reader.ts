import { readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fifoFolder } from "../client/paths.ts";
import { isErrno } from "../sys/index.ts";
import type { CommandContext } from "./command.ts";
import { CommandError } from "./usage-error.ts";

/** Who reads the pipes of a folder: two readers would each get a part of the output. */
const fileName = "reader";
/** How long a reader for the log may take to let go. */
const letGoMs = 5000;

type ReaderKind = "person" | "log";

/** Says that a process, most often this one, reads the pipes of a folder; in one of another client's nothing is written. */
export function claimOutput(
  { env }: Pick<CommandContext, "env">,
  folder: string,
  kind: ReaderKind = "person",
  pid: number = process.pid,
): void {
  if (dirname(folder) !== fifoFolder(env)) return;
  writeFileSync(`${folder}/${fileName}`, `${pid} ${startOf(pid) ?? ""} ${kind}`, { mode: 0o600 });
}

/**
 * Makes sure that nobody else reads the pipes of a folder: who reads for the log alone is asked to let go.
 * Errors: CommandError when a person is attached.
 */
export async function takeOutput(folder: string, id: string): Promise<void> {
  for (const deadline = Date.now() + letGoMs; ; ) {
    const reader = readerOf(folder);
    if (reader === undefined) return;
    if (reader.kind === "person" || Date.now() > deadline) {
      throw new CommandError(`container "${id}" is attached already, by process ${reader.pid}`, {
        hint: `lighter logs -f ${id} follows its output beside it`,
        exitCode: 125,
      });
    }
    try {
      process.kill(reader.pid, "SIGTERM");
    } catch (error) {
      if (!isErrno(error, "ESRCH")) throw error;
    }
    await Bun.sleep(5);
  }
}

/** Who reads now; undefined when nobody does any more. */
function readerOf(folder: string): { readonly pid: number; readonly kind: ReaderKind } | undefined {
  try {
    const [pid = "", start, kind] = readFileSync(`${folder}/${fileName}`, "utf8").split(" ");
    if (Number(pid) === process.pid || startOf(Number(pid)) !== start) return undefined;
    return { pid: Number(pid), kind: kind === "log" ? "log" : "person" };
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

/**
 * When a process began, which tells it from a later one of its number; undefined once it has ended, though nobody has
 * asked for its end yet. Source: proc_pid_stat(5), state and starttime.
 */
function startOf(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" || fields[0] === "X" ? undefined : fields[19];
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}
