import type { CommandContext } from "./command.ts";
import { claimOutput } from "./output-reader.ts";

/**
 * Leaves a process behind that waits for a container's end and removes it: what --rm means where nobody stays attached.
 * Effects: it has no terminal and no stdio, and ends with the container.
 */
export function removeLater(context: CommandContext, id: string): void {
  leaveBehind(context, ["wait", "--rm", id]);
}

/**
 * Leaves a process behind that reads a container's output for its log, so that the container does not come to a stop at a
 * full pipe when nobody is attached.
 * Effects: as `removeLater`; it makes room for whoever attaches, also before it has come to reading: the pipes are its own
 * from the moment at which this returns.
 */
export function keepReading(context: CommandContext, id: string, folder: string): void {
  claimOutput(context, folder, "log", leaveBehind(context, ["attach", "--to-log", id]));
}

function leaveBehind(context: CommandContext, words: readonly string[]): number {
  const self = process.argv[1];
  const script = self === undefined || Bun.main.startsWith("/$bunfs") ? [] : [Bun.main];
  const child = Bun.spawn([process.execPath, ...script, "-a", context.address, "-n", context.namespace, ...words], {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
    cwd: "/",
    detached: true,
  });
  child.unref();
  return child.pid;
}
