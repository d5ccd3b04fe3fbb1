import { statSync } from "node:fs";
import { isFault, messageOf } from "../lib/faults.ts";
import type { CommandContext } from "./command.ts";
import type { Check } from "./health-checks.ts";

/** The daemon: is it there, what is it, does it work. */
export async function daemonChecks(context: CommandContext): Promise<Check[]> {
  const { client, address } = context;
  try {
    const { version } = await client.version.version({}, { timeoutMs: 3000 });
    const plugins = await pluginCheck(context);
    return [{ name: "daemon", result: "ok", found: `version ${version} answers at ${address}` }, ...plugins];
  } catch (error) {
    return [{ name: "daemon", result: "fail", found: messageOf(error), advice: adviceFor(address, error) }];
  }
}

function adviceFor(address: string, error: unknown): string {
  if (isFault(error, "deadlineExceeded"))
    return "it is there but does not answer: look at its log, restart it; containers go on meanwhile";
  try {
    const stat = statSync(address);
    if (!stat.isSocket()) return `${address} is no socket: name the daemon's with --address`;
    return process.getuid?.() === 0
      ? "nobody listens: start it with lighterd"
      : "the socket belongs to root: sudo lighter ...";
  } catch {
    return "start it with lighterd, or name another's socket with --address or $CONTAINERD_ADDRESS";
  }
}

async function pluginCheck({ client }: CommandContext): Promise<Check[]> {
  const { plugins } = await client.introspection.plugins({}, { timeoutMs: 3000 });
  const snapshotters = plugins.filter(({ type }) => type === "io.containerd.snapshotter.v1");
  const working = snapshotters.filter(({ initErr }) => initErr === undefined).map(({ id }) => id);
  if (snapshotters.length === 0) return [];
  const overlay = working.includes("overlayfs");
  return [
    {
      name: "snapshotters",
      result: overlay ? "ok" : "warn",
      found: working.length === 0 ? "none works" : working.join(", "),
      advice: overlay ? undefined : "overlayfs is the default: see the daemon's log for why it is missing",
    },
  ];
}
