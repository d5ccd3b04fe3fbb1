import { heapStats } from "bun:jsc";
import { readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TaskManager } from "../../core/tasks/index.ts";
import { tasksToken } from "../../core/tokens.ts";
import type { Logger } from "../../lib/log.ts";
import type { PluginView } from "../../plugin/index.ts";
import { createKernel } from "../../sys/index.ts";
import { callLines, callsUnderWay } from "./calls-under-way.ts";
import { childProcesses, openDescriptors, taskStates } from "./handles.ts";

/**
 * Writes what the process does and holds to the log, and to a file beside other temporary ones, as containerd does on SIGUSR1.
 * Shape: never rejects. Effects: shims are asked for their tasks' states first, for two seconds at most each.
 */
export async function dumpDiagnostics(log: Logger, plugins: PluginView | undefined): Promise<void> {
  const text = await diagnostics(plugins);
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
export async function diagnostics(plugins: PluginView | undefined): Promise<string> {
  const tasks = (plugins?.instance(tasksToken.uri) as TaskManager | undefined)?.figures;
  // First of all: these are what somebody who finds it slow wants to see, and asking shims takes time.
  const calls = callLines(callsUnderWay(plugins, createKernel()));
  const states = await taskStates(tasks);
  const heap = heapStats();
  const objects = Object.entries(heap.objectTypeCounts)
    .toSorted(([, a], [, b]) => b - a)
    .slice(0, 30)
    .map(([type, count]) => `  ${count} ${type}`);
  const failures = (plugins?.all() ?? []).filter((plugin) => plugin.failure);
  return [
    `pid ${process.pid}, up ${Math.round(process.uptime())} s`,
    "calls under way:",
    ...calls,
    "tasks:",
    ...states.map(({ namespace, id, pid, state }) => `  ${namespace}/${id} pid ${pid} ${state}`),
    `memory: ${JSON.stringify(process.memoryUsage())}`,
    `heap: ${heap.objectCount} objects, ${heap.heapSize} of ${heap.heapCapacity} bytes`,
    ...objects,
    "kernel's account of memory:",
    ...procLines("/proc/self/smaps_rollup"),
    "descriptors:",
    ...openDescriptors().map(({ fd, target }) => `  ${fd} ${target}`),
    "children:",
    ...childProcesses().map(({ pid, name }) => `  ${pid} ${name}`),
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
