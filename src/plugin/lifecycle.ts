import { join } from "node:path";
import { FaultError, messageOf } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import {
  type DaemonFacts,
  type Need,
  type PluginContext,
  type PluginDefinition,
  type PluginFailure,
  type PluginMeta,
  type PluginRecord,
  type PluginView,
  SkipPlugin,
  type Token,
  typeOfNeed,
} from "./define.ts";
import { type Commit, LivePlugins } from "./live.ts";

export interface StartOptions {
  /** In the order of `orderPlugins`. */
  readonly plugins: readonly PluginDefinition[];
  /** URIs whose failure or absence stops the start. */
  readonly required: readonly string[];
  readonly daemon: DaemonFacts;
  readonly log: Logger;
  /** The plugin's decoded configuration. Errors: whatever is wrong with it; it stops the start. */
  readonly config: (plugin: PluginDefinition) => unknown;
}

/** The plugins of a running daemon. Disposing closes each in the reverse of the order in which they started. */
export interface StartedPlugins extends AsyncDisposable {
  readonly view: PluginView;
  /** The instance behind a token. Errors: what kept the plugin from starting. */
  get<T>(of: Token<T>): T;
  /** Makes all of them ready for new settings, by URI. Errors: why one cannot take them; nothing has changed then. */
  prepare(configs: ReadonlyMap<string, unknown>): Promise<Commit>;
}

/**
 * Starts plugins in order. One that fails or is skipped is recorded and logged, and the rest goes on without it.
 * Errors: a required plugin failed or is not in the list; a wrong configuration. What had started is closed again.
 */
export async function startPlugins(options: StartOptions): Promise<StartedPlugins> {
  const started = new Started(options.log);
  await using guard = new AsyncDisposableStack();
  guard.use(started);
  const missing = new Set(options.required);
  for (const plugin of options.plugins) {
    const failure = await started.start(plugin, options);
    if (failure === undefined) missing.delete(plugin.uri);
    else if (missing.has(plugin.uri))
      throw new FaultError("failedPrecondition", `load required plugin ${plugin.uri}: ${failure.error.message}`, {
        cause: failure.error,
      });
  }
  if (missing.size > 0)
    throw new FaultError("failedPrecondition", `required plugin [${[...missing].join(" ")}] not included`);
  guard.move();
  return started;
}

class Started implements StartedPlugins {
  readonly view: PluginView;
  readonly #log: Logger;
  readonly #records = new Map<string, PluginRecord>();
  readonly #instances = new Map<string, unknown>();
  readonly #scopes = new AsyncDisposableStack();
  readonly #live = new LivePlugins();

  constructor(log: Logger) {
    this.#log = log;
    this.view = {
      all: () => [...this.#records.values()],
      find: (type, id) => this.#records.get(`${type}.${id}`),
      instance: (uri) => this.#instances.get(uri),
    };
  }

  /** The one cast from what is stored to what the token says; `definePlugin` checked the other side. */
  get<T>(of: Token<T>): T {
    return this.#instance(of) as T;
  }

  prepare(configs: ReadonlyMap<string, unknown>): Promise<Commit> {
    return this.#live.prepare(configs);
  }

  async start(plugin: PluginDefinition, options: StartOptions): Promise<PluginFailure | undefined> {
    const config = options.config(plugin);
    const scope = new AsyncDisposableStack();
    const meta: PluginMeta = { platforms: [], exports: new Map(), capabilities: [] };
    const log = this.#log.with({ plugin: plugin.uri });
    const daemon = options.daemon;
    const context: PluginContext<unknown> = {
      config,
      root: join(daemon.root, plugin.uri),
      state: join(daemon.state, plugin.uri),
      daemon,
      log,
      meta,
      scope,
      plugins: this.view,
      onReload: (prepare) => this.#live.add(plugin.uri, prepare),
    };
    log.debug("loading plugin");
    let failure: PluginFailure | undefined;
    try {
      this.#instances.set(plugin.uri, await plugin.start((need) => this.#resolve(need), context));
      this.#scopes.defer(() => closeScope(scope, log));
    } catch (error) {
      failure = failureOf(error);
      this.#live.remove(plugin.uri);
      await closeScope(scope, log);
      if (failure.skipped) log.info("skip loading plugin", { error: failure.error });
      else log.warn("failed to load plugin", { error: failure.error });
    }
    const requires = [...new Set(plugin.needs.map(typeOfNeed))];
    const record: PluginRecord = { type: plugin.type, id: plugin.id, uri: plugin.uri, requires, meta, failure };
    this.#records.set(plugin.uri, record);
    return failure;
  }

  #resolve(need: Need): unknown {
    if ("optional" in need) return this.#instances.get(need.optional.uri);
    if ("uri" in need) return this.#instance(need);
    const ofType = [...this.#records.values()].filter((record) => record.type === need.type && !record.failure);
    return new Map(ofType.map((record) => [record.id, this.#instances.get(record.uri)]));
  }

  #instance(of: Token<unknown>): unknown {
    const record = this.#records.get(of.uri);
    if (record === undefined)
      throw new FaultError("notFound", `no plugins registered for ${of.uri}: plugin: not found`);
    if (record.failure?.skipped) throw new SkipPlugin(`needs ${of.uri}`, { cause: record.failure.error });
    if (record.failure) throw wrapNeed(of, record.failure.error);
    return this.#instances.get(of.uri);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#scopes.disposeAsync();
  }
}

function wrapNeed(of: Token<unknown>, error: Error): FaultError {
  const kind = error instanceof FaultError ? error.kind : "unknown";
  return new FaultError(kind, `needs ${of.uri}: ${error.message}`, { cause: error });
}

function failureOf(error: unknown): PluginFailure {
  return {
    error: error instanceof Error ? error : new FaultError("unknown", messageOf(error)),
    skipped: error instanceof SkipPlugin,
  };
}

/** Closing goes on past a part that fails to close: the others must not stay open for it. */
async function closeScope(scope: AsyncDisposableStack, log: Logger): Promise<void> {
  try {
    await scope.disposeAsync();
  } catch (error) {
    log.error("failed to close plugin", { error });
  }
}
