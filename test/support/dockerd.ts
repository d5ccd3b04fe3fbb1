import fs from "node:fs/promises";
import path from "node:path";
import type { Daemon } from "./daemon.ts";
import { dockerFolder } from "./requirements.ts";
import { type RunOptions, type RunResult, run, runInTerminal, type TerminalSession } from "./run.ts";
import { waitFor } from "./wait.ts";

/** Debian's dockerd, which has a daemon of ours run its containers. */
export interface Dockerd extends AsyncDisposable {
  readonly folder: string;
  /** Runs docker; whatever it ends with. */
  readonly docker: (args: readonly string[], options?: RunOptions) => Promise<RunResult>;
  /** Runs docker and answers with its stdout, trimmed. Errors: with all its output when it fails. */
  readonly dockerOk: (args: readonly string[], options?: RunOptions) => Promise<string>;
  readonly inTerminal: (args: readonly string[]) => TerminalSession;
  /** kill -9. */
  readonly kill: () => Promise<void>;
  readonly start: () => Promise<void>;
}

const startTimeoutMs = 30_000;

/**
 * Starts dockerd on folders of its own, in a network namespace of its own: no bridge and no rule of it is seen outside.
 * Its containers are in the daemon's namespace and below a cgroup of its name, so that what is left of them is found.
 */
export async function startDockerd(daemon: Daemon): Promise<Dockerd> {
  const folder = path.join(daemon.workspace.folder, "docker");
  const socket = path.join(folder, "docker.sock");
  const log = path.join(folder, "dockerd.log");
  await fs.mkdir(folder, { recursive: true });
  const bin = ["usr/bin", "usr/sbin"].map((name) => path.join(dockerFolder, name));
  const env = { ...process.env, PATH: `${bin.join(":")}:${process.env["PATH"] ?? ""}`, HOME: folder };
  const flags = [
    `--containerd=${daemon.address}`,
    `--containerd-namespace=${daemon.namespace}`,
    `--containerd-plugins-namespace=${daemon.namespace}-plugins`,
    `--cgroup-parent=/${daemon.namespace}`,
    `--data-root=${path.join(folder, "data")}`,
    `--exec-root=${path.join(folder, "exec")}`,
    `--pidfile=${path.join(folder, "dockerd.pid")}`,
    `--host=unix://${socket}`,
    "--iptables=false",
    "--ip-masq=false",
    "--live-restore",
    "--experimental",
    "--storage-driver=overlay2",
  ];
  let child: Bun.Subprocess | undefined;
  const end = async (signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    child?.kill(signal);
    await child?.exited;
    child = undefined;
  };
  const docker = (args: readonly string[], options: RunOptions = {}): Promise<RunResult> =>
    run(["docker", "-H", `unix://${socket}`, ...args], { ...options, env });
  const dockerd: Dockerd = {
    folder,
    docker,
    dockerOk: async (args, options) => {
      const { code, stdout, stderr } = await docker(args, options);
      if (code !== 0) throw new Error(`docker ${args.join(" ")} ended with ${code}\n${stdout}${stderr}`);
      return stdout.trim();
    },
    inTerminal: (args) => runInTerminal(["docker", "-H", `unix://${socket}`, ...args], { env }),
    kill: () => end("SIGKILL"),
    start: async () => {
      // One that was killed leaves both, and takes them for those of one that lives.
      for (const name of ["docker.sock", "dockerd.pid"]) await fs.rm(path.join(folder, name), { force: true });
      const output = Bun.file(log);
      child = Bun.spawn(["unshare", "--net", "dockerd", ...flags], {
        env,
        stdin: "ignore",
        stdout: output,
        stderr: output,
      });
      const started = child;
      await waitFor(
        "dockerd to answer",
        async () => started.exitCode !== null || (await docker(["version"])).code === 0,
        startTimeoutMs,
      );
      if (started.exitCode !== null) throw new Error(`dockerd ended\n${await fs.readFile(log, "utf8")}`);
    },
    [Symbol.asyncDispose]: async () => {
      await end("SIGTERM");
      await removeMounts(folder);
    },
  };
  try {
    await dockerd.start();
  } catch (error) {
    await end("SIGKILL");
    throw error;
  }
  return dockerd;
}

/** dockerd leaves its data folder and its network namespaces mounted. */
async function removeMounts(folder: string): Promise<void> {
  const table = await fs.readFile("/proc/self/mountinfo", "utf8");
  const mounts = table.split("\n").map((line) => line.split(" ")[4] ?? "");
  for (const mount of mounts.filter((one) => one.startsWith(`${folder}/`)).toReversed())
    await run(["umount", "-l", mount]);
}
