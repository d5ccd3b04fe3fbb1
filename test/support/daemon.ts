import fs from "node:fs/promises";
import path from "node:path";
import { findProcesses } from "./resources.ts";
import { type RunOptions, type RunResult, run, runInTerminal, type TerminalSession } from "./run.ts";
import { waitFor } from "./wait.ts";
import type { Workspace } from "./workspace.ts";

export type DaemonKind = "lighter" | "containerd";
export type RuntimeName = "runc" | "crun";

/** A daemon under test, with folders, socket and namespace of its own. */
export interface Daemon extends AsyncDisposable {
  readonly kind: DaemonKind;
  readonly runtime: RuntimeName;
  readonly workspace: Workspace;
  readonly address: string;
  readonly root: string;
  readonly state: string;
  /** The namespace of every `ctr` call, unique to this daemon. */
  readonly namespace: string;
  /** The flags that make `ctr run` and `ctr container create` use this daemon's runtime. */
  readonly runtimeFlags: readonly string[];
  readonly pid: number;
  /** What the daemon wrote since its first start. */
  logs(): Promise<string>;
  /** Runs ctr against the daemon, whatever its exit code. */
  ctr(args: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs ctr and answers with its stdout. Errors: when it fails, with its words and the end of the daemon's log. */
  ctrOk(args: readonly string[], options?: RunOptions): Promise<string>;
  ctrInTerminal(args: readonly string[], options?: RunOptions): TerminalSession;
  /** Starts it (again) and waits until it answers. */
  start(): Promise<void>;
  /** Starts it again and does not wait; for who measures how long that takes. */
  startUnattended(): Promise<void>;
  /** Ends it as an administrator would, by SIGTERM. */
  stop(): Promise<void>;
  /** Ends it as a crash would, by SIGKILL. */
  kill(): Promise<void>;
}

/** How one kind of daemon is started. */
export interface DaemonLaunch {
  readonly kind: DaemonKind;
  readonly runtime: RuntimeName;
  readonly workspace: Workspace;
  readonly address: string;
  readonly root: string;
  readonly state: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
}

const startTimeoutMs = 20_000;
const stopTimeoutMs = 15_000;
/** How often shims are told to end, and how long they have each time. */
const [endRounds, endPauseMs] = [20, 100];

/** Starts a daemon and gives it the parts that tests use. Disposing it fails when anything of it is left behind. */
export async function launchDaemon(launch: DaemonLaunch): Promise<Daemon> {
  const { workspace, address } = launch;
  const logFile = path.join(workspace.folder, "daemon.log");
  let child: Bun.Subprocess | undefined;
  const ctrCommand = (args: readonly string[]): readonly string[] => [
    "ctr",
    "-a",
    address,
    "-n",
    workspace.token,
    ...args,
  ];
  const logs = (): Promise<string> => fs.readFile(logFile, "utf8").catch(() => "");
  const end = async (signal: "SIGTERM" | "SIGKILL"): Promise<void> => {
    if (child === undefined) return;
    child.kill(signal);
    const late = setTimeout(() => child?.kill("SIGKILL"), stopTimeoutMs);
    await child.exited;
    clearTimeout(late);
    child = undefined;
  };
  const daemon: Daemon = {
    ...launch,
    namespace: workspace.token,
    // Always said: the default is runc under containerd and crun, where it is there, under lighter.
    runtimeFlags: ["--runc-binary", launch.runtime],
    get pid() {
      if (child === undefined) throw new Error("the daemon is not running");
      return child.pid;
    },
    logs,
    ctr: (args, options) => run(ctrCommand(args), options),
    ctrOk: async (args, options) => {
      const result = await run(ctrCommand(args), options);
      if (result.code === 0) return result.stdout;
      const tail = (await logs()).split("\n").slice(-15).join("\n");
      throw new Error(
        `ctr ${args.join(" ")} ended with ${result.code}\n${result.stdout}${result.stderr}\nlog:\n${tail}`,
      );
    },
    ctrInTerminal: (args, options) => runInTerminal(ctrCommand(args), options),
    start: async () => {
      await daemon.startUnattended();
      if (child !== undefined) await untilItAnswers(address, child, logs);
    },
    startUnattended: async () => {
      if (child !== undefined) throw new Error("the daemon is running already");
      child = await spawnDaemon(launch, logFile);
    },
    stop: () => end("SIGTERM"),
    kill: () => end("SIGKILL"),
    [Symbol.asyncDispose]: () => disposeDaemon(daemon, () => child !== undefined),
  };
  try {
    await daemon.start();
  } catch (error) {
    await end("SIGKILL");
    await workspace[Symbol.asyncDispose]();
    throw error;
  }
  return daemon;
}

async function spawnDaemon(launch: DaemonLaunch, logFile: string): Promise<Bun.Subprocess> {
  await using log = await fs.open(logFile, "a");
  return Bun.spawn([...launch.command], {
    env: { ...process.env, ...launch.env },
    cwd: launch.workspace.folder,
    stdin: "ignore",
    stdout: log.fd,
    stderr: log.fd,
  });
}

async function untilItAnswers(address: string, child: Bun.Subprocess, logs: () => Promise<string>): Promise<void> {
  try {
    await waitFor(
      `an answer on ${address}`,
      async () => {
        if (child.exitCode !== null || child.signalCode !== null) return true;
        return (await run(["ctr", "-a", address, "--connect-timeout", "2s", "version"])).code === 0;
      },
      startTimeoutMs,
    );
  } catch (error) {
    throw new Error(`the daemon does not answer\n${await logs()}`, { cause: error });
  }
  if (child.exitCode !== null || child.signalCode !== null) {
    throw new Error(`the daemon ended with ${child.exitCode ?? child.signalCode}\n${await logs()}`);
  }
}

/** Removes every task and container through the daemon itself, ends it, and looks for what is left. */
async function disposeDaemon(daemon: Daemon, isRunning: () => boolean): Promise<void> {
  try {
    if (!isRunning()) await daemon.start();
    for (const id of await idsOf(daemon, "tasks")) await daemon.ctr(["tasks", "rm", "-f", id]);
    for (const id of await idsOf(daemon, "containers")) await daemon.ctr(["containers", "rm", id]);
    await daemon.stop();
    await endShims(daemon);
    await daemon.workspace.expectNoLeaks();
  } finally {
    await daemon.kill();
    await daemon.workspace[Symbol.asyncDispose]();
  }
}

async function idsOf(daemon: Daemon, kind: "tasks" | "containers"): Promise<readonly string[]> {
  const result = await daemon.ctr([kind, "ls", "-q"]);
  return result.stdout.split("\n").filter((id) => id !== "");
}

/** A shim outlives its daemon by design: one that serves no task any more leaves on SIGTERM. */
async function endShims(daemon: Daemon): Promise<void> {
  // More than once: one that was just being started may have started another process after it was looked at.
  for (let round = 0; round < endRounds; round++) {
    const shims = (await findProcesses(daemon.workspace.token)).filter((line) => /shim/.test(line));
    if (shims.length === 0) return;
    for (const line of shims) endProcess(Number.parseInt(line, 10));
    await Bun.sleep(endPauseMs);
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It ended by itself meanwhile.
  }
}
