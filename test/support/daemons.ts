import fs from "node:fs/promises";
import path from "node:path";
import { type Daemon, type DaemonKind, launchDaemon, type RuntimeName } from "./daemon.ts";
import { criuFolder } from "./requirements.ts";
import { createWorkspace, type Workspace } from "./workspace.ts";

const top = path.resolve(import.meta.dir, "../..");

export interface DaemonOptions {
  readonly runtime?: RuntimeName;
  /** TOML for the end of the daemon's configuration. */
  readonly config?: string;
  /** Puts the tests' own criu, and the crun that knows it, first in the daemon's PATH. */
  readonly criu?: boolean;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** debug without; `configured` is the configuration's. */
  readonly logLevel?: "debug" | "info" | "configured";
  /** The lighterd to start; this checkout's without. */
  readonly program?: string;
}

/** The daemon that the end-to-end tests drive: LIGHTER_E2E_DAEMON=containerd shows that they hold for the original. */
export const daemonKind: DaemonKind = process.env["LIGHTER_E2E_DAEMON"] === "containerd" ? "containerd" : "lighter";

/** Starts the daemon that the end-to-end tests drive. */
export function startDaemon(options: DaemonOptions = {}): Promise<Daemon> {
  return daemonKind === "containerd" ? startContainerd(options) : startLighter(options);
}

/** Starts lighterd from this checkout on folders of its own. */
export async function startLighter(options: DaemonOptions = {}): Promise<Daemon> {
  const workspace = await createWorkspace();
  const paths = pathsOf(workspace);
  await fs.writeFile(paths.config, `version = 3\n${options.config ?? ""}`);
  const flags = ["--root", paths.root, "--state", paths.state, "--address", paths.address, "--config", paths.config];
  return launchDaemon({
    kind: "lighter",
    runtime: options.runtime ?? "runc",
    workspace,
    ...paths,
    command: [options.program ?? path.join(top, "bin/lighterd"), ...flags, ...levelFlags(options)],
    env: envOf(options),
  });
}

/** Starts Debian's containerd on folders of its own, for comparison. Its shims' sockets lie in /run/containerd/s. */
export async function startContainerd(options: DaemonOptions = {}): Promise<Daemon> {
  const workspace = await createWorkspace();
  const paths = pathsOf(workspace);
  await fs.writeFile(paths.config, containerdConfig(paths, options.config ?? ""));
  const command = ["containerd", "--config", paths.config, ...levelFlags(options)];
  return launchDaemon({
    kind: "containerd",
    runtime: options.runtime ?? "runc",
    workspace,
    ...paths,
    command: options.runtime === "crun" ? await insideLegacyCgroups(command) : command,
    // A checkpoint that fails leaves its folder where temporary files go.
    env: { ...envOf(options), TMPDIR: workspace.folder },
  });
}

/**
 * crun refuses a machine that mixes cgroup v1 and v2. A mount namespace that shares everything with the machine but
 * for the unified hierarchy below /sys/fs/cgroup, which something empty covers, satisfies it; lighter's shim host does the same.
 */
export async function insideLegacyCgroups(command: readonly string[]): Promise<readonly string[]> {
  const mounts = await fs.readFile("/proc/self/mountinfo", "utf8");
  if (!/ \/sys\/fs\/cgroup\/unified .* - cgroup2 /.test(mounts)) return command;
  const script = 'mount --make-private /sys/fs/cgroup && mount -t tmpfs cover /sys/fs/cgroup/unified && exec "$@"';
  return ["unshare", "--mount", "--propagation", "unchanged", "sh", "-c", script, "sh", ...command];
}

interface Paths {
  readonly root: string;
  readonly state: string;
  readonly address: string;
  readonly config: string;
}

function pathsOf(workspace: Workspace): Paths {
  const inside = (name: string): string => path.join(workspace.folder, name);
  return { root: inside("root"), state: inside("state"), address: inside("d.sock"), config: inside("config.toml") };
}

function envOf(options: DaemonOptions): Readonly<Record<string, string | undefined>> {
  const PATH = `${options.criu === true ? `${criuFolder}:` : ""}${process.env["PATH"] ?? ""}:/usr/sbin:/sbin`;
  return { PATH, ...options.env };
}

function containerdConfig(paths: Paths, more: string): string {
  const disabled = ["grpc.v1.cri", "snapshotter.v1.aufs", "snapshotter.v1.btrfs", "snapshotter.v1.devmapper"];
  return `version = 2
root = "${paths.root}"
state = "${paths.state}"
disabled_plugins = [${[...disabled, "snapshotter.v1.zfs"].map((name) => `"io.containerd.${name}"`).join(", ")}]
[grpc]
  address = "${paths.address}"
[ttrpc]
  address = "${paths.address}.ttrpc"
${more}`;
}

function levelFlags({ logLevel = "debug" }: DaemonOptions): string[] {
  return logLevel === "configured" ? [] : ["--log-level", logLevel];
}
