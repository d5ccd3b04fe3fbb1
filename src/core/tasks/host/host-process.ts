import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf, unavailable } from "../../../lib/faults.ts";
import type { LogLevel } from "../../../lib/log.ts";
import type { ClientConnection } from "../../../wire/service.ts";
import { connectTtrpc } from "../../../wire/ttrpc/index.ts";
import type { HostLauncher, LaunchedHost } from "./host.ts";

export interface HostProcessOptions {
  /** The daemon's state folder. */
  readonly state: string;
  /** The program and the arguments that come before `host`. */
  readonly command: readonly string[];
  /** The OCI runtime that is used where a task names none. */
  readonly runtimeBinary?: string | undefined;
  readonly logLevel?: LogLevel | undefined;
  readonly env?: Readonly<Record<string, string | undefined>> | undefined;
}

/** sockaddr_un.sun_path, less the final zero. Source: unix(7). */
const socketPathMax = 107;

/** The end of what a host that failed to start wrote to stderr. */
const complaintBytes = 2048;

/** Where the host of a daemon listens. */
export function hostSocketPath(state: string): string {
  return join(state, "shim", "host.sock");
}

/** Starts and reaches the shim host as a process of its own session, with nothing of the daemon's open in it. */
export function createHostProcess(options: HostProcessOptions): HostLauncher {
  const socket = hostSocketPath(options.state);
  const folder = dirname(socket);
  const complaints = join(folder, "host.stderr");
  return {
    get runtimeBinary() {
      return options.runtimeBinary;
    },
    connect: () => connectIfThere(socket),
    holder: () => lockHolder(join(folder, "state", "host.lock")),
    hasLeftovers: () => existsSync(join(folder, "state", "keeper.json")),
    async launch(): Promise<LaunchedHost> {
      if (Buffer.byteLength(socket) > socketPathMax) {
        throw unavailable(`start the shim host: socket path ${socket} is longer than ${socketPathMax} bytes`);
      }
      const child = spawnDetached(hostArguments(options, folder, socket), options.env ?? process.env, complaints);
      return {
        pid: child.pid,
        exited: child.exited.then(() => `${howItEnded(child)}${complaintOf(complaints)}`),
      };
    },
  };
}

async function connectIfThere(path: string): Promise<ClientConnection | undefined> {
  try {
    return await connectTtrpc({ path });
  } catch {
    // No socket, or nobody behind it: there is no host.
    return undefined;
  }
}

/** The process that holds a lock on a file. Source: proc(5), /proc/locks. */
function lockHolder(path: string): number | undefined {
  const inode = statSync(path, { throwIfNoEntry: false })?.ino;
  if (inode === undefined) return undefined;
  const found = new RegExp(`^\\d+: FLOCK .* (\\d+) [0-9a-f]+:[0-9a-f]+:${inode} `, "m").exec(
    readFileSync("/proc/locks", "utf8"),
  );
  return found === null ? undefined : Number(found[1]);
}

function hostArguments(options: HostProcessOptions, folder: string, socket: string): string[] {
  const args = [...options.command, "host", "--socket", socket, "--state", join(folder, "state")];
  args.push("--log", join(folder, "host.log"), "--log-level", options.logLevel ?? "info");
  if (options.runtimeBinary !== undefined) args.push("--runtime", options.runtimeBinary);
  return args;
}

function spawnDetached(
  command: string[],
  env: Readonly<Record<string, string | undefined>>,
  complaints: string,
): Bun.Subprocess {
  mkdirSync(dirname(complaints), { recursive: true, mode: 0o711 });
  const stderr = openSync(complaints, "w", 0o600);
  try {
    const child = Bun.spawn(command, {
      cwd: "/",
      env: withoutRuntimeKnobs(env),
      stdio: ["ignore", "ignore", stderr],
      detached: true,
    });
    child.unref();
    return child;
  } catch (error) {
    throw unavailable(`start the shim host ${command[0] ?? ""}: ${messageOf(error)}`, { cause: error });
  } finally {
    closeSync(stderr);
  }
}

/** BUN_* in the environment can make the runtime run other code than ours. */
function withoutRuntimeKnobs(env: Readonly<Record<string, string | undefined>>): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith("BUN_")));
}

function howItEnded(child: Bun.Subprocess): string {
  return child.signalCode === null ? `exit status ${child.exitCode}` : `signal ${child.signalCode}`;
}

function complaintOf(path: string): string {
  try {
    const text = readFileSync(path).subarray(-complaintBytes).toString().trim();
    return text === "" ? "" : `: ${text}`;
  } catch {
    // The status alone has to do.
    return "";
  }
}
