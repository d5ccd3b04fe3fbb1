import type { CommandContext } from "./command.ts";

/**
 * Leaves a process behind that waits for a container's end and removes it: what --rm means where nobody stays attached.
 * Effects: it has no terminal and no stdio, and ends with the container.
 */
export function removeLater(context: CommandContext, id: string): void {
  const self = process.argv[1];
  const script = self === undefined || Bun.main.startsWith("/$bunfs") ? [] : [Bun.main];
  const child = Bun.spawn(
    [process.execPath, ...script, "-a", context.address, "-n", context.namespace, "wait", "--rm", id],
    { stdin: "ignore", stdout: "ignore", stderr: "ignore", cwd: "/", detached: true },
  );
  child.unref();
}
