import { readFileSync } from "node:fs";
import { hostSocketPath } from "../../src/core/tasks/index.ts";
import { Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import { type Daemon, findProcesses, waitFor } from "../support/index.ts";

/** Who is killed: the daemon, the shim host, both at the same moment, or one of the three each time. */
export const victims = ["daemon", "host", "both", "any"] as const;
export type Victim = (typeof victims)[number];

export interface KillerOptions {
  readonly victim: Victim;
  /** After a random time between these two, again and again. */
  readonly killAfterMs: readonly [number, number];
}

/** A stretch of time, in performance.now()'s milliseconds. */
export interface Span {
  readonly from: number;
  readonly to: number;
}

export interface Killer extends AsyncDisposable {
  /** How often a daemon was killed so far. */
  readonly daemons: number;
  /** When hosts were. */
  readonly hostDeaths: readonly Span[];
  /** Ends the killing; the daemon runs afterwards. */
  stop(): Promise<void>;
}

/** Containers end and begin for a moment while nobody lives. */
const deadMs = 1_000;
/** A host is killed while it starts, too, but not each time: on a slow machine nothing would ever get done. */
const earlyKills = 0.25;
/** None is started while there is nothing to do. */
const hostTimeoutMs = 10_000;

/** Starts to kill at random. */
export function startKiller(daemon: Daemon, { victim, killAfterMs }: KillerOptions): Killer {
  const [least, most] = killAfterMs;
  const ending = Promise.withResolvers<void>();
  let daemons = 0;
  const hostDeaths: Span[] = [];
  let over = false;
  const strike = async (): Promise<void> => {
    const one = victim === "any" ? (["daemon", "host", "both"] as const)[Math.floor(Math.random() * 3)] : victim;
    const host = one === "daemon" ? undefined : await hostPid(daemon);
    const from = performance.now();
    if (host !== undefined && kill(host)) hostDeaths.push({ from, to: performance.now() });
    if (one !== "host") {
      await daemon.kill();
      daemons += 1;
      if (one === "both") await Bun.sleep(Math.random() * deadMs);
      await daemon.start();
    }
    if (host === undefined || Math.random() < earlyKills) return;
    await waitFor("a host", async () => over || (await serves(daemon)), hostTimeoutMs).catch(() => {});
  };
  const loop = (async () => {
    while (!over) {
      await Promise.race([Bun.sleep(least + Math.random() * (most - least)), ending.promise]);
      if (!over) await strike();
    }
  })();
  const stop = async (): Promise<void> => {
    over = true;
    ending.resolve();
    await loop;
  };
  return {
    get daemons() {
      return daemons;
    },
    hostDeaths,
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * The process of the daemon's shim host; undefined while there is none.
 * Shape: what it is about to start has its command line for a moment, and may have a lower number.
 */
export async function hostPid(daemon: Daemon): Promise<number | undefined> {
  const found = (await findProcesses(daemon.workspace.token)).filter((line) => / host --socket /.test(line));
  const pids = new Set(found.map((line) => Number.parseInt(line, 10)));
  return [...pids].find((pid) => !pids.has(parentOf(pid)));
}

function parentOf(pid: number): number {
  try {
    return Number(/^PPid:\s*(\d+)$/m.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1]);
  } catch {
    return 0; // it ended meanwhile
  }
}

async function serves(daemon: Daemon): Promise<boolean> {
  try {
    await using connection = await connectTtrpc({ path: hostSocketPath(daemon.state) });
    await connection.client(Host).info({}, { timeoutMs: 1_000 });
    return true;
  } catch {
    return false; // not yet
  }
}

function kill(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch {
    return false; // it ended meanwhile
  }
}
