import path from "node:path";
import { type Daemon, type RunResult, run } from "../support/index.ts";

/** The command as it is started from a checkout. */
export const program: string = path.join(import.meta.dir, "../../bin/lighter");

/** What makes the command talk to a test's daemon and keep its files in the test's folder. */
export function environment(daemon: Daemon): Record<string, string> {
  return {
    CONTAINERD_ADDRESS: daemon.address,
    CONTAINERD_NAMESPACE: daemon.namespace,
    LIGHTER_DATA: path.join(daemon.workspace.folder, "data"),
    LIGHTER_RUN: path.join(daemon.workspace.folder, "io"),
  };
}

/** Runs the command to its end, whatever its exit code. */
export function lighter(
  daemon: Daemon,
  args: readonly string[],
  options: { input?: string | Uint8Array; env?: Readonly<Record<string, string>> } = {},
): Promise<RunResult> {
  const { input, env } = options;
  return run([program, ...args], {
    env: { ...environment(daemon), ...env },
    ...(input === undefined ? {} : { input }),
  });
}

/** Runs the command and answers with what it printed. Errors: when it fails. */
export async function lighterOk(daemon: Daemon, args: readonly string[], input?: string): Promise<string> {
  const result = await lighter(daemon, args, input === undefined ? {} : { input });
  if (result.code !== 0) throw new Error(`lighter ${args.join(" ")} ended with ${result.code}\n${result.stderr}`);
  return result.stdout;
}
