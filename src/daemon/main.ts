import { stringify } from "smol-toml";
import type { SchemaPart } from "../core/metadata/index.ts";
import { messageOf } from "../lib/faults.ts";
import { createLogger, type LeveledLogger } from "../lib/log.ts";
import { apiVersion, revision } from "../lib/version.ts";
import type { PluginDefinition, StartedPlugins } from "../plugin/index.ts";
import { createKernel, shrinkWhenIdle } from "../sys/index.ts";
import { configText } from "./config-text.ts";
import { startDaemon } from "./daemon.ts";
import { type Flavour, flavourOf } from "./flavours.ts";
import { helpText } from "./help.ts";
import { activatedSockets, createListeners } from "./listeners.ts";
import { stderrSink } from "./log-sink.ts";
import { managerFacts, type ServiceManager, serviceManagerOf } from "./notify.ts";
import { runHook } from "./oci-hook.ts";
import { type DaemonOptions, parseOptions } from "./options.ts";
import { publish } from "./publish.ts";
import { createReloader, type Reloader } from "./reload.ts";
import { resolveSettings } from "./settings.ts";
import { handleSignals } from "./signals.ts";
import { takeOverAlone } from "./takeover.ts";

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
  const flavour = flavourOf(options.program);
  try {
    const parsed = parseOptions(options.args);
    switch (parsed.command) {
      case "help":
        options.print(helpText(flavour));
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
        await run(parsed, flavour, options);
        return 0;
    }
  } catch (error) {
    for (const line of messageOf(error).split("\n")) options.complain(`${flavour.name}: ${line}\n`);
    return 1;
  }
}

async function run(
  options: DaemonOptions,
  flavour: Flavour,
  { plugins, schemas }: Pick<MainOptions, "plugins" | "schemas">,
): Promise<void> {
  const settings = await resolveSettings(options, flavour);
  const log = createLogger({ level: settings.logLevel, format: settings.logFormat, write: stderrSink() });
  const manager = serviceManagerOf(managerFacts(process.env), log);
  const stop = Promise.withResolvers<void>();
  let started: StartedPlugins | undefined;
  // Whoever asks for a reload before there is something to reload is answered when there is.
  const reloader = Promise.withResolvers<Reloader>();
  handleSignals({
    stop: () => {
      manager.stopping("stopping; containers keep running");
      stop.resolve();
    },
    reload: () => void reloader.promise.then((made) => made.reload()),
    dump: () => {
      // Seldom wanted: a start does not load it.
      import("./diagnostics.ts").then(
        ({ dumpDiagnostics }) => dumpDiagnostics(log, started?.view),
        (error: unknown) => log.error("diagnostics cannot be loaded", { error }),
      );
    },
    log,
  });
  using _watchdog = manager.watch();
  manager.status("starting");
  log.info(`starting ${flavour.name}`, { version: apiVersion, revision, pid: process.pid });
  using listeners = createListeners(activatedSockets(process.env), createKernel(), log);
  await using daemon = await startDaemon({ plugins, schemas, settings, listeners, log });
  started = daemon.plugins;
  announce(log, manager, flavour);
  const serving = servingStatus();
  reloader.resolve(
    createReloader({
      plugins: daemon.definitions,
      started: daemon.plugins,
      log,
      now: { settings, byUri: daemon.configs.byUri },
      read: () => resolveSettings(options, flavour),
      hasLevelFlag: options.logLevel !== undefined,
      begin: () => manager.reloading("reading the configuration again"),
      done: () => manager.ready(serving),
    }),
  );
  using _watch = shrinkWhenIdle();
  await stop.promise;
  log.info("stopping; containers keep running");
  listeners[Symbol.dispose]();
}

/** The process's age counts from its start, the loading of the program included. */
function announce(log: LeveledLogger, manager: ServiceManager, flavour: Flavour): void {
  manager.ready(servingStatus());
  log.info(`${flavour.name} ready in ${process.uptime().toFixed(3)}s`);
}

const servingStatus = (): string => `serving; version ${apiVersion}${revision === "" ? "" : ` ${revision}`}`;
