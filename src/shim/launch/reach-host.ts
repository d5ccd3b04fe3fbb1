import { closeSync, mkdirSync, openSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Host } from "../../gen/lighter/shim/v1/host_pb.ts";
import { messageOf, unavailable } from "../../lib/faults.ts";
import type { ClientConnection } from "../../wire/service.ts";
import { connectTtrpc } from "../../wire/ttrpc/index.ts";
import type { HostPlace } from "./place.ts";
import { joinCgroup } from "./shim-cgroup.ts";

/** From the start of a host to its first answer. */
const startLimitMs = 10_000;
const answerLimitMs = 5_000;
const pollMs = 5;

export interface LaunchOptions {
  /** The ttrpc socket that takes the tasks' events. */
  readonly events: string;
  readonly debug: boolean;
  /** The cgroup that a host which is started is put into; empty for this process's own. */
  readonly cgroup: string;
}

/** A connection to the host that runs at a place; undefined when none does. */
export async function connectHost({ socket }: HostPlace): Promise<ClientConnection | undefined> {
  let connection: ClientConnection;
  try {
    connection = await connectTtrpc({ path: socket });
  } catch {
    // No socket, or nobody behind it.
    return undefined;
  }
  try {
    // One that is about to end takes connections and does not answer.
    await connection.client(Host).info({}, { timeoutMs: answerLimitMs });
    return connection;
  } catch {
    await connection[Symbol.asyncDispose]();
    return undefined;
  }
}

/** A connection to the host at a place, which is started where none runs. Errors: unavailable, with what the host said; joinCgroup's. */
export async function reachHost(place: HostPlace, options: LaunchOptions): Promise<ClientConnection> {
  const running = await connectHost(place);
  if (running !== undefined) return running;
  if (options.cgroup !== "") joinCgroup(options.cgroup);
  mkdirSync(place.folder, { recursive: true, mode: 0o711 });
  const deadline = performance.now() + startLimitMs;
  let child = launch(place, options);
  for (;;) {
    const connection = await connectHost(place);
    if (connection !== undefined) return connection;
    if (performance.now() > deadline) throw unavailable(`the shim host does not answer${complaintOf(place)}`);
    // Another start was faster, or an earlier host was just leaving: the folder is one host's at a time.
    if (child.exitCode !== null || child.signalCode !== null) {
      await Bun.sleep(pollMs * 10);
      child = launch(place, options);
    }
    await Bun.sleep(pollMs);
  }
}

/** Starts this very program as a host, in a session of its own. */
function launch(place: HostPlace, { events, debug }: LaunchOptions): Bun.Subprocess {
  // A compiled program is its own runtime and has no script.
  const script = Bun.main.startsWith("/$bunfs/") ? [] : [Bun.main];
  const flags = ["--socket", place.socket, "--state", place.state, "--log", place.log, "--events", events];
  const command = [process.execPath, ...process.execArgv, ...script, "host", ...flags];
  const stderr = openSync(complaintFile(place), "w", 0o600);
  try {
    const child = Bun.spawn([...command, "--log-level", debug ? "debug" : "info"], {
      cwd: "/",
      env: { ...process.env, LIGHTER_PROGRAM: "containerd-shim-lighter-v2" },
      stdio: ["ignore", "ignore", stderr],
      detached: true,
    });
    child.unref();
    return child;
  } catch (error) {
    throw unavailable(`start the shim host: ${messageOf(error)}`, { cause: error });
  } finally {
    closeSync(stderr);
  }
}

const complaintFile = ({ folder }: HostPlace): string => join(folder, "host.stderr");

function complaintOf(place: HostPlace): string {
  const text = readFileSync(complaintFile(place), "utf8").trim();
  return text === "" ? "" : `: ${text.slice(-1024)}`;
}
