import { existsSync } from "node:fs";
import { join } from "node:path";
import type { SchemaPart } from "../core/metadata/index.ts";
import type { TakeoverOptions } from "../core/takeover/index.ts";
import { FaultError } from "../lib/faults.ts";
import { createLogger, type Logger } from "../lib/log.ts";
import { decodePlugins, type PluginConfigs, type PluginDefinition } from "../plugin/index.ts";
import { createKernel, type Kernel } from "../sys/index.ts";
import type { DaemonOptions } from "./config/options.ts";
import type { Settings } from "./config/settings.ts";
import { stderrSink } from "./process/log-sink.ts";
import { lockFolder } from "./process/root-lock.ts";

export interface RootTakeover {
  readonly settings: Settings;
  readonly configs: PluginConfigs;
  readonly schemas: readonly SchemaPart[];
  readonly kernel: Kernel;
  readonly log: Logger;
}

/**
 * Takes over what a containerd left in the root, when that is due, and keeps containerd from serving it meanwhile.
 * Errors: as takeOver's. Effects: none where no containerd ever was; what does the work is loaded only where one was.
 */
export async function takeOverRoot(given: RootTakeover): Promise<Disposable> {
  const { settings, log } = given;
  if (!existsSync(join(settings.root, oldDatabase)) && settings.takeover !== "again")
    return { [Symbol.dispose]: () => {} };
  const { takeOver } = await import("../core/takeover/index.ts");
  const taken = await takeOver({ ...takeoverOptions(given), mode: settings.takeover });
  if (taken.plan !== undefined) {
    const { namespaces, tasks, path } = taken.plan;
    log.info("took over the store of a containerd", { path, namespaces: namespaces.length, tasks: tasks.length });
  }
  return taken;
}

/**
 * The command `takeover`: takes over, or says what would come over, and ends.
 * Errors: failedPrecondition (a daemon runs, nothing is there). Effects: none with --dry-run.
 */
export async function takeOverAlone(
  options: DaemonOptions,
  settings: Settings,
  { plugins, schemas }: { readonly plugins: readonly PluginDefinition[]; readonly schemas: readonly SchemaPart[] },
): Promise<string> {
  const path = join(settings.root, oldDatabase);
  if (!existsSync(path)) throw new FaultError("failedPrecondition", `there is nothing to take over: no file ${path}`);
  const { planLines, planOf, planReport, takeOver } = await import("../core/takeover/index.ts");
  const kernel = createKernel();
  const log = createLogger({ level: "error", format: settings.logFormat, write: stderrSink() });
  const configs = decodePlugins(plugins, settings.config);
  const given = takeoverOptions({ settings, configs, schemas, kernel, log });
  using stack = new DisposableStack();
  let plan: Awaited<ReturnType<typeof planOf>> | undefined;
  if (options.dryRun) plan = await planOf(given);
  else {
    stack.use(await lockFolder("root", settings.root, kernel));
    plan = stack.use(await takeOver({ ...given, mode: options.takeover })).plan;
  }
  if (plan === undefined) return options.json ? "null\n" : "It was taken over already; nothing has changed since.\n";
  if (options.json) return `${JSON.stringify(planReport(plan), undefined, 2)}\n`;
  const heading = options.dryRun ? "This would come over from" : "This came over from";
  return `${[`${heading} containerd:`, ...planLines(plan)].join("\n")}\n`;
}

/** Source: containerd plugins/metadata/plugin.go. */
const oldDatabase = "io.containerd.metadata.v1.bolt/meta.db";

function takeoverOptions({ settings, configs, schemas, kernel, log }: RootTakeover): Omit<TakeoverOptions, "mode"> {
  return {
    root: settings.root,
    state: settings.state,
    snapshotterRoots: snapshotterRoots(configs),
    searchPath: process.env["PATH"] ?? "",
    schemas,
    kernel,
    log,
    now: () => new Date().toISOString(),
  };
}

/** The folders that the configuration gives to snapshotters. */
function snapshotterRoots(configs: PluginConfigs): ReadonlyMap<string, string> {
  const roots = new Map<string, string>();
  for (const name of ["overlayfs", "native"]) {
    const config = configs.byUri.get(`io.containerd.snapshotter.v1.${name}`);
    const given = typeof config === "object" && config !== null && "root_path" in config ? config.root_path : undefined;
    if (typeof given === "string" && given !== "") roots.set(name, given);
  }
  return roots;
}
