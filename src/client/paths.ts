import { existsSync, mkdirSync } from "node:fs";

export type Environment = Readonly<Record<string, string | undefined>>;

/** True for the superuser, who has the system's folders rather than a home's. */
function isRoot(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Where this client keeps what outlives a command: the logs of containers.
 * Shape: LIGHTER_DATA, or /var/lib/lighter for root, or XDG's data folder.
 */
export function dataFolder(env: Environment): string {
  if (env["LIGHTER_DATA"]) return env["LIGHTER_DATA"];
  if (isRoot()) return "/var/lib/lighter";
  return `${env["XDG_DATA_HOME"] || `${env["HOME"] ?? "/tmp"}/.local/share`}/lighter`;
}

/** Where FIFOs live while a process has them. Shape: LIGHTER_RUN, or /run/lighter-io for root, or XDG's runtime folder. */
export function fifoFolder(env: Environment): string {
  if (env["LIGHTER_RUN"]) return env["LIGHTER_RUN"];
  if (isRoot()) return "/run/lighter-io";
  return `${env["XDG_RUNTIME_DIR"] || "/tmp"}/lighter-io`;
}

/**
 * A new log file's path for a container; its folder is made.
 * Shape: the random part keeps containers of one name under two daemons of a machine apart.
 */
export function newLogPath(env: Environment, namespace: string, id: string, random: string): string {
  const folder = `${dataFolder(env)}/logs/${namespace}`;
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  return `${folder}/${id}-${random}.log`;
}

/** The daemon to talk to when none was named: CONTAINERD_ADDRESS, else lighter's socket, else containerd's where only that is there. */
export function defaultAddress(env: Environment): string {
  if (env["CONTAINERD_ADDRESS"]) return env["CONTAINERD_ADDRESS"];
  const [own, theirs] = ["/run/lighter/lighter.sock", "/run/containerd/containerd.sock"] as const;
  return !existsSync(own) && existsSync(theirs) ? theirs : own;
}
