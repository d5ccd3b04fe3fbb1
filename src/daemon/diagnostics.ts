import { heapStats } from "bun:jsc";
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Logger } from "../lib/log.ts";
import type { PluginView } from "../plugin/index.ts";

/** Writes what the process holds to the log, and to a file beside other temporary ones, as containerd does on SIGUSR1. */
export function dumpDiagnostics(log: Logger, plugins: PluginView | undefined): void {
  const text = diagnostics(plugins);
  log.info(`=== BEGIN diagnostics ===\n${text}\n=== END diagnostics ===`);
  const path = join(tmpdir(), `lighterd.${process.pid}.dump.log`);
  try {
    writeFileSync(path, text, { mode: 0o600, flag: "wx" });
    log.info("diagnostics written", { path });
  } catch (error) {
    log.warn("diagnostics not written to a file", { error, path });
  }
}

/** What the process holds, for people. */
export function diagnostics(plugins: PluginView | undefined): string {
  const heap = heapStats();
  const objects = Object.entries(heap.objectTypeCounts)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 30)
    .map(([type, count]) => `  ${count} ${type}`);
  const failures = (plugins?.all() ?? []).filter((plugin) => plugin.failure);
  return [
    `pid ${process.pid}, up ${Math.round(process.uptime())} s`,
    `memory: ${JSON.stringify(process.memoryUsage())}`,
    `heap: ${heap.objectCount} objects, ${heap.heapSize} of ${heap.heapCapacity} bytes`,
    ...objects,
    "kernel's account of memory:",
    ...procLines("/proc/self/smaps_rollup"),
    "descriptors:",
    ...descriptors(),
    "children:",
    ...procLines(`/proc/self/task/${process.pid}/children`),
    "plugins that did not start:",
    ...failures.map((plugin) => `  ${plugin.uri}: ${plugin.failure?.error.message}`),
  ].join("\n");
}

function procLines(path: string): readonly string[] {
  try {
    return readFileSync(path, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => `  ${line}`);
  } catch {
    return ["  unknown"]; // a kernel without that file: the rest is still worth reading
  }
}

function descriptors(): readonly string[] {
  return readdirSync("/proc/self/fd").map((fd) => {
    try {
      return `  ${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`;
    } catch {
      return `  ${fd} closed`; // the one that read this very folder
    }
  });
}
