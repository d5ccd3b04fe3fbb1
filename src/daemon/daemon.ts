import { writeFile } from "node:fs/promises";
import type { Exchange } from "../core/events/index.ts";
import type { SchemaPart } from "../core/metadata/index.ts";
import { proxyPlugins } from "../core/proxies/plugin.ts";
import type { TaskManager } from "../core/tasks/index.ts";
import { exchangeToken, tasksToken } from "../core/tokens.ts";
import { FaultError } from "../lib/faults.ts";
import type { Logger } from "../lib/log.ts";
import {
  createTimeLimits,
  type DaemonUpgrades,
  decodePlugins,
  orderPlugins,
  type PluginConfigs,
  type PluginDefinition,
  type ReplaceableLimits,
  type StartedPlugins,
  startPlugins,
} from "../plugin/index.ts";
import { createKernel } from "../sys/index.ts";
import { closeServers, openServers } from "./api/server-set.ts";
import { noteText, type Settings } from "./config/settings.ts";
import type { Listeners } from "./listeners/listeners.ts";
import { SERVER } from "./listeners/server.ts";
import { socketPath } from "./listeners/sockets.ts";
import { cleanTemporaryMounts, makeFolders } from "./process/folders.ts";
import { enterCgroup } from "./process/own-cgroup.ts";
import { lockFolder } from "./process/root-lock.ts";
import { takeOverRoot } from "./takeover.ts";
import type { HeardBefore } from "./upgrade/handover.ts";

export interface DaemonParts {
  readonly plugins: readonly PluginDefinition[];
  /** The tables of all of them: those of metadata that is taken over. */
  readonly schemas: readonly SchemaPart[];
  readonly settings: Settings;
  /** The settings of every plugin, by URI, where they are not what the files said: they changed while a daemon of before ran. */
  readonly inForce?: ReadonlyMap<string, unknown> | undefined;
  readonly listeners: Listeners;
  /** Waits until the predecessor has let go; answers whom it cut off, undefined where there is none. */
  readonly turn: () => Promise<HeardBefore | undefined>;
  readonly upgrades?: DaemonUpgrades;
  /** Fires when the process is told to end. */
  readonly stop: AbortSignal;
  readonly log: Logger;
}

/** How long subscribers of a predecessor are waited for: as long as event-ingest.ts holds what came before a start. */
const returnLimitMs = 15_000;
/** How long the locks of a predecessor are waited for, which the kernel lets go of when that process has ended. */
const lockPatienceMs = 10_000;

/** A daemon that serves. Disposing it finishes the calls under way, closes every plugin, and lets go of the root. */
export interface Daemon extends AsyncDisposable {
  readonly plugins: StartedPlugins;
  /** All that might run, those of proxies too, and with what settings. */
  readonly definitions: readonly PluginDefinition[];
  readonly configs: PluginConfigs;
  readonly timeouts: ReplaceableLimits;
  /** Stops events; answers whom that cuts off, or did. Complete once the daemon is disposed of. */
  retire(): HeardBefore;
  /** Subscribers of a predecessor that are still waited for. */
  readonly awaited: number;
}

/**
 * Brings a daemon up: folders, the root's lock, every plugin, then the sockets.
 * Errors: invalidArgument (configuration), failedPrecondition (root or socket in use, a required plugin failed). Nothing
 * stays open then.
 */
export async function startDaemon({
  plugins: own,
  schemas,
  settings,
  inForce,
  listeners,
  turn,
  upgrades,
  stop,
  log,
}: DaemonParts): Promise<Daemon> {
  const proxies = proxyPlugins(settings.top.proxy_plugins);
  const plugins = [...proxies.plugins, ...own];
  const ordered = orderPlugins(plugins, new Set(settings.top.disabled_plugins));
  const configs = inForce === undefined ? decodePlugins(plugins, settings.config) : { byUri: inForce, notes: [] };
  for (const note of [...settings.config.notes, ...configs.notes]) log[note.level](noteText(note));
  const kernel = createKernel();
  const heard = await turn();
  await makeFolders(settings);
  await using stack = new AsyncDisposableStack();
  // Two daemons on one state would drive the same shim host, and recover each other's tasks.
  for (const what of ["root", "state"] as const)
    stack.use(await lockFolder(what, settings[what], kernel, heard === undefined ? 0 : lockPatienceMs));
  const [grpcAddress, ttrpcAddress] = [addressOf(configs, "grpc"), addressOf(configs, "ttrpc")];
  for (const path of [grpcAddress, ttrpcAddress]) await listeners.claim(path);
  stack.use(await takeOverRoot({ settings, configs, schemas, kernel, log }));
  await setOomScore(settings.top.oom_score, log);
  await enterCgroup(settings.top.cgroup.path);
  await cleanTemporaryMounts(settings.root, kernel, log);
  for (const name of proxies.unbuilt) log.warn("proxy plugins of this type are not built, it has no effect", { name });
  const timeouts = createTimeLimits(settings.top.timeouts);
  const started = await startPlugins({
    plugins: ordered,
    required: settings.top.required_plugins,
    daemon: {
      root: settings.root,
      state: settings.state,
      grpcAddress,
      ttrpcAddress,
      streamProcessors: settings.top.stream_processors,
      timeouts,
      stop,
      returning: heard === undefined ? undefined : { ...heard, forMs: returnLimitMs },
      upgrades,
    },
    log,
    config: (plugin) => configs.byUri.get(plugin.uri),
  });
  stack.use(started);
  await openServers(started, listeners);
  // They come first at the end, and one that fails keeps nobody from letting go of the rest.
  stack.defer(() => closeServers(started.view, () => eventsOf(started)?.retire()));
  return aliveWith({ plugins: started, definitions: plugins, configs, timeouts }, stack.move());
}

function aliveWith(
  parts: Pick<Daemon, "plugins" | "definitions" | "configs" | "timeouts">,
  owned: AsyncDisposableStack,
): Daemon {
  const events = eventsOf(parts.plugins);
  const tasks = parts.plugins.view.instance(tasksToken.uri) as TaskManager | undefined;
  return {
    ...parts,
    retire: () => ({ subscribers: events?.retire() ?? 0, passedOn: tasks?.passedOn }),
    get awaited() {
      return events?.awaited ?? 0;
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

function eventsOf({ view }: StartedPlugins): Exchange | undefined {
  return view.instance(exchangeToken.uri) as Exchange | undefined;
}

function addressOf(configs: PluginConfigs, id: string): string {
  const config = configs.byUri.get(`${SERVER.type}.${id}`);
  const address = typeof config === "object" && config !== null && "address" in config ? config.address : undefined;
  if (typeof address !== "string" || address === "")
    throw new FaultError("invalidArgument", `${id} address cannot be empty`);
  return socketPath(address);
}

/** A score that the kernel refuses costs a warning: containers run without it. */
async function setOomScore(score: number, log: Logger): Promise<void> {
  if (score === 0) return;
  await writeFile("/proc/self/oom_score_adj", String(score)).catch((error: unknown) =>
    log.warn(`failed to change OOM score to ${score}`, { error }),
  );
}
