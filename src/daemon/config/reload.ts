import { messageOf } from "../../lib/faults.ts";
import type { LeveledLogger } from "../../lib/log.ts";
import {
  decodePlugins,
  dotted,
  type PluginDefinition,
  type ReplaceableLimits,
  type StartedPlugins,
  withLiveTimeouts,
} from "../../plugin/index.ts";
import { type ConfigChange, type ConfigState, configChanges, withLive } from "./config-changes.ts";
import { noteText, type Settings } from "./settings.ts";

export interface ReloaderOptions {
  /** All that were decoded at the start, whether they run or not. */
  readonly plugins: readonly PluginDefinition[];
  readonly started: StartedPlugins;
  readonly timeouts: Pick<ReplaceableLimits, "replace">;
  readonly log: LeveledLogger;
  /** What the daemon started with. */
  readonly now: ConfigState;
  /** Reads the configuration anew, under the flags of the start. Errors: as resolveSettings'. */
  readonly read: () => Promise<Settings>;
  /** The level that a flag gave, which no file changes. */
  readonly hasLevelFlag: boolean;
  /** Told when a reload begins and when it is done. */
  readonly begin: () => void;
  readonly done: () => void;
}

/** Reads the configuration again whenever it is told to. */
export interface Reloader {
  /** Asks for a reload. While one runs, however many ask are answered by one more. */
  reload(): void;
  /** Settles when none runs. */
  readonly idle: Promise<void>;
  /** What is in force: what is live as it was read last, and all else as the daemon started with it. */
  readonly now: ConfigState;
}

/**
 * Makes what reads the configuration again. A reload is atomic: the new files are read, checked and prepared for by every
 * plugin first, and then all that may change while the daemon runs changes in one step; a mistake anywhere leaves everything
 * as it was. Each change is told, and each that has to wait for the next start.
 */
export function createReloader(options: ReloaderOptions): Reloader {
  return new ConfigReloader(options);
}

class ConfigReloader implements Reloader {
  readonly #options: ReloaderOptions;
  #now: ConfigState;
  #running: Promise<void> | undefined;
  #asked = false;

  constructor(options: ReloaderOptions) {
    this.#options = options;
    this.#now = options.now;
  }

  get now(): ConfigState {
    return this.#now;
  }

  get idle(): Promise<void> {
    return this.#running ?? Promise.resolve();
  }

  reload(): void {
    this.#asked = true;
    this.#running ??= this.#run().finally(() => {
      this.#running = undefined;
    });
  }

  async #run(): Promise<void> {
    const { log, begin, done } = this.#options;
    begin();
    while (this.#asked) {
      this.#asked = false;
      try {
        await this.#once();
      } catch (error) {
        log.error("the new configuration cannot be used, the settings stay as they are");
        for (const line of messageOf(error).split("\n")) log.error(line);
      }
    }
    done();
  }

  async #once(): Promise<void> {
    const { plugins, started, log } = this.#options;
    log.info("reading the configuration again", { path: this.#now.settings.configPath ?? "" });
    const settings = await this.#options.read();
    const configs = decodePlugins(plugins, settings.config);
    for (const note of [...settings.config.notes, ...configs.notes])
      log[note.level === "warn" ? "warn" : "debug"](noteText(note));
    const next: ConfigState = { settings, byUri: configs.byUri };
    const changes = configChanges(plugins, this.#now, next);
    const byUri = withLive(plugins, this.#now.byUri, configs.byUri);
    const commit = await started.prepare(byUri);
    // From here on nothing waits and nothing fails.
    commit();
    this.#options.timeouts.replace(settings.top.timeouts);
    this.#setLog(settings);
    this.#now = { settings: this.#inForce(settings), byUri };
    this.#tell(changes);
  }

  /** A level that was set in another way stays while the files say what they said. */
  #setLog({ logLevel, logFormat, logTraceIds }: Settings): void {
    const { log } = this.#options;
    const now = this.#now.settings;
    if (logLevel !== now.logLevel) log.setLevel(logLevel);
    if (logFormat !== now.logFormat) log.setFormat(logFormat);
    if (logTraceIds !== now.logTraceIds) log.setNamesTraces(logTraceIds);
  }

  /** What needs a start is compared with what the daemon started with, each time. */
  #inForce({ logLevel, logFormat, logTraceIds, top }: Settings): Settings {
    const now = this.#now.settings;
    const { level, format, log_trace_id } = top.debug;
    const debug = { ...now.top.debug, level, format, log_trace_id };
    const timeouts = withLiveTimeouts(now.top.timeouts, top.timeouts);
    return { ...now, logLevel, logFormat, logTraceIds, top: { ...now.top, debug, timeouts } };
  }

  #tell(changes: readonly ConfigChange[]): void {
    const { log, hasLevelFlag } = this.#options;
    for (const { path, from, to, isLive } of changes) {
      const fields = { key: dotted(path), from, to };
      if (!isLive) log.warn("a setting has changed in the configuration, and takes effect at the next start", fields);
      else if (hasLevelFlag && path.join(".") === "debug.level")
        log.info("a setting has changed in the configuration, but the flag --log-level holds", fields);
      else log.info("a setting has changed", fields);
    }
    if (changes.length === 0) log.info("no setting has changed");
  }
}
