import { heapStats } from "bun:jsc";
import { isFault } from "../../lib/faults.ts";
import { pause } from "../../lib/pause.ts";
import type { PluginView } from "../../plugin/index.ts";
import { cpuProfile } from "./cpu-profile.ts";
import { diagnostics } from "./diagnostics.ts";

/** What a request to the debug socket gets. */
export interface DebugAnswer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

const plain = "text/plain; charset=utf-8";
const json = "application/json";
/** Source: Go net/http/pprof, Profile. */
const defaultSeconds = 30;
const longestSeconds = 600;

/** Profiles of a Go program's that this one has nothing for. */
const gosOwn: ReadonlySet<string> = new Set(["allocs", "block", "mutex", "threadcreate", "trace", "symbol"]);

const index = `profiles of lighterd, under the names by which ctr pprof and Go's tools ask for them

/debug/pprof/heap            what the heap holds, as a snapshot for the memory panel of Chromium's developer tools (JSON);
                             the program stands still while it is taken; ?debug=1: counts alone, as text
/debug/pprof/profile         where the processor's time goes, as a .cpuprofile for their performance panel; ?seconds=30
/debug/pprof/goroutine       what it does and holds: calls, tasks, memory, descriptors, children, plugins (it has no
                             goroutines)
/debug/pprof/cmdline         the command line
/debug/vars                  figures, as JSON
`;

/** Answers a request, by containerd's paths. Shape: never rejects but with what the signal says. */
export async function debugAnswer(
  pathname: string,
  query: URLSearchParams | undefined,
  plugins: PluginView,
  signal: AbortSignal,
): Promise<DebugAnswer> {
  const path = pathname.replace(/\/+$/, "");
  if (path === "/debug/vars") return { status: 200, type: json, body: JSON.stringify(vars(), undefined, 2) };
  if (path === "/debug/pprof") return { status: 200, type: plain, body: index };
  const name = /^\/debug\/pprof\/([a-z]+)$/.exec(path)?.[1] ?? "";
  switch (name) {
    case "cmdline":
      return { status: 200, type: plain, body: process.argv.join("\0") };
    case "goroutine":
      return { status: 200, type: plain, body: `${await diagnostics(plugins)}\n` };
    case "heap":
      return heap(Number(query?.get("debug") ?? 0) > 0);
    case "profile":
      return profile(query?.get("seconds") ?? "", signal);
    default:
      return gosOwn.has(name)
        ? notHere(name)
        : { status: 404, type: plain, body: `no such page; there are:\n\n${index}` };
  }
}

function notHere(name: string): DebugAnswer {
  const body = `lighterd is no Go program and has no ${name} profile; there are:\n\n${index}`;
  return { status: 501, type: plain, body };
}

function heap(asText: boolean): DebugAnswer {
  if (!asText) return { status: 200, type: json, body: Bun.generateHeapSnapshot("v8") };
  const { objectCount, heapSize, heapCapacity, objectTypeCounts } = heapStats();
  const counts = Object.entries(objectTypeCounts).toSorted(([, a], [, b]) => b - a);
  const lines = counts.map(([type, count]) => `${count} ${type}`);
  return {
    status: 200,
    type: plain,
    body: `${objectCount} objects, ${heapSize} of ${heapCapacity} bytes\n${lines.join("\n")}\n`,
  };
}

async function profile(given: string, signal: AbortSignal): Promise<DebugAnswer> {
  const seconds = given === "" ? defaultSeconds : Number(given);
  if (!(seconds > 0 && seconds <= longestSeconds)) {
    return { status: 400, type: plain, body: `seconds must be more than 0, and ${longestSeconds} at most\n` };
  }
  try {
    const body = await cpuProfile(() => pause(seconds * 1000, signal));
    return { status: 200, type: json, body };
  } catch (error) {
    if (!isFault(error, "failedPrecondition")) throw error;
    return { status: 409, type: plain, body: `${error.message}\n` };
  }
}

/** As Go's expvar has them, with the figures of memstats that mean the same here. */
function vars(): object {
  const { rss, heapUsed, heapTotal, external } = process.memoryUsage();
  const { objectCount } = heapStats();
  return {
    cmdline: process.argv,
    memstats: { Alloc: heapUsed, HeapAlloc: heapUsed, HeapSys: heapTotal, HeapObjects: objectCount, Sys: rss },
    lighter: { pid: process.pid, uptimeSeconds: process.uptime(), externalBytes: external, cpu: process.cpuUsage() },
  };
}
