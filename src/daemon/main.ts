import { stringify } from "smol-toml";
import type { SchemaPart } from "../core/metadata/index.ts";
import { daemonHelp } from "../lib/daemon-help.ts";
import { messageOf } from "../lib/faults.ts";
import { createLogger, type LeveledLogger, silentLogger } from "../lib/log.ts";
import { apiVersion, revision } from "../lib/version.ts";
import type { PluginDefinition, StartedPlugins } from "../plugin/index.ts";
import { createKernel } from "../sys/index.ts";
import { runHook } from "./commands/oci-hook.ts";
import { publish } from "./commands/publish.ts";
import { configText } from "./config/config-text.ts";
import { type Flavour, flavourOf } from "./config/flavours.ts";
import { type DaemonOptions, parseOptions } from "./config/options.ts";
import { createReloader } from "./config/reload.ts";
import { ReloadDesk } from "./config/reload-desk.ts";
import { resolveSettings, type Settings } from "./config/settings.ts";
import type { Daemon } from "./daemon.ts";
import { activatedSockets, createListeners } from "./listeners/listeners.ts";
import { live } from "./lives.ts";
import { stderrSink } from "./process/log-sink.ts";
import { managerEnvironment, managerFacts, type ServiceManager, serviceManagerOf } from "./process/notify.ts";
import { handleSignals } from "./process/signals.ts";
import { takeOverAlone } from "./takeover.ts";
import { type Predecessor, predecessorOf } from "./upgrade/handover.ts";
import { startSuccessor } from "./upgrade/successor.ts";
import { UpgradeDesk } from "./upgrade/upgrades.ts";

export interface MainOptions {
  /** The name under which the program was started; it picks the defaults. */
  readonly program: string;
  readonly args: readonly string[];
  readonly plugins: readonly PluginDefinition[];
  /** The tables of all of them. */
  readonly schemas: readonly SchemaPart[];
  readonly print: (text: string) => void;
  readonly complain: (text: string) => void;
}

/** The daemon's whole life, or one of its small commands. Answers the exit code. */
export async function main(options: MainOptions): Promise<number> {
  // It goes by the name of the one whose place it takes.
  using predecessor = predecessorOf(process.env, createKernel(), silentLogger);
  const flavour = flavourOf(predecessor?.program ?? options.program);
  try {
    const parsed = parseOptions(options.args);
    switch (parsed.command) {
      case "help":
        options.print(daemonHelp(flavour));
        return 0;
      case "version":
        options.print(`${flavour.name} lighter ${apiVersion} ${revision}\n`.replace(" \n", "\n"));
        return 0;
      case "config-default":
      case "config-dump":
        options.print(stringify(await configText(parsed, flavour, options.plugins)));
        return 0;
      case "publish":
        await publish(parsed, parsed.address ?? flavour.address, await Bun.stdin.bytes());
        return 0;
      case "oci-hook":
        return await runHook({ args: parsed.hook, env: process.env, state: await Bun.stdin.text() });
      case "takeover":
        options.print(await takeOverAlone(parsed, await resolveSettings(parsed, flavour), options));
        return 0;
      case "run":
        await run(parsed, { ...options, flavour, predecessor });
        return 0;
    }
  } catch (error) {
    predecessor?.failed(error);
    for (const line of messageOf(error).split("\n")) options.complain(`${flavour.name}: ${line}\n`);
    return 1;
  }
}

async function run(options: DaemonOptions, { flavour, args, predecessor, plugins, schemas }: RunParts): Promise<void> {
  const settings = await resolveSettings(options, flavour);
  const { logLevel: level, logFormat: format, logTraceIds: namesTraces } = settings;
  const log = createLogger({ level, format, namesTraces, write: stderrSink() });
  const facts = managerFacts(process.env);
  let isMain = predecessor === undefined;
  const manager = serviceManagerOf(facts, log, () => isMain);
  const kernel = createKernel();
  const inherited = predecessor?.sockets ?? activatedSockets(process.env);
  const from = predecessor === undefined ? "a service manager" : "the daemon before";
  using listeners = createListeners({ inherited, from, kernel, log });
  const env = { ...process.env, ...managerEnvironment(facts) };
  // What was to be done once, at the start, has been done.
  const again = args.filter((word) => !/^--?takeover$/.test(word));
  const successor = { program: flavour.name, args: again, env, kernel, log };
  const reloads = new ReloadDesk();
  await using desk = new UpgradeDesk((path, stop) => {
    reloads.mark();
    return startSuccessor({ ...successor, path, sockets: listeners.handed, stop });
  }, log);
  const stop = new AbortController();
  let started: StartedPlugins | undefined;
  handleSignals({
    stop: () => {
      manager.stopping("stopping; containers keep running");
      stop.abort();
      desk.stop();
    },
    reload: () => reloads.ask(),
    dump: () => {
      // Seldom wanted: a start does not load it.
      import("./debug/diagnostics.ts").then(
        ({ dumpDiagnostics }) => dumpDiagnostics(log, started?.view),
        (error: unknown) => log.error("diagnostics cannot be loaded", { error }),
      );
    },
    // Why it failed is in the log.
    upgrade: () => void desk.begin("").catch(() => {}),
    log,
  });
  using _watchdog = manager.watch();
  manager.status("starting");
  log.info(`starting ${flavour.name}`, { version: apiVersion, revision, pid: process.pid });
  const onServing = (daemon: Daemon, inForce: Settings): void => {
    isMain = true;
    started = daemon.plugins;
    announce(log, manager, flavour, desk.failure);
    const reloader = createReloader({
      plugins: daemon.definitions,
      started: daemon.plugins,
      timeouts: daemon.timeouts,
      log,
      now: { settings: inForce, byUri: daemon.configs.byUri },
      read: () => resolveSettings(options, flavour),
      hasLevelFlag: options.logLevel !== undefined,
      begin: () => manager.reloading("reading the configuration again"),
      done: () => manager.ready(servingStatus("")),
    });
    reloads.open(reloader);
  };
  const parts = { plugins, schemas, settings, listeners, manager, desk, reloads, predecessor, onServing, log };
  await live({ ...parts, stop: stop.signal });
}

interface RunParts extends Pick<MainOptions, "args" | "plugins" | "schemas"> {
  readonly flavour: Flavour;
  readonly predecessor: Predecessor | undefined;
}

/** The process's age counts from its start, the loading of the program included. */
function announce(log: LeveledLogger, manager: ServiceManager, flavour: Flavour, failure: string): void {
  manager.ready(servingStatus(failure));
  log.info(`${flavour.name} ready in ${process.uptime().toFixed(3)}s`);
}

function servingStatus(failure: string): string {
  const version = `version ${apiVersion}${revision === "" ? "" : ` ${revision}`}`;
  return `serving; ${version}${failure === "" ? "" : `; the last upgrade failed: ${failure}`}`;
}
