export type { ConfigNote, TopConfig } from "./config.ts";
export { configVersion, encodeTop, messageBytes, ownerId } from "./config.ts";
export {
  type DaemonFacts,
  type DaemonUpgrades,
  definePlugin,
  type Kind,
  kind,
  optional,
  type PassedOnEvents,
  type PluginContext,
  type PluginDefinition,
  type PluginMeta,
  type PluginPlatform,
  type PluginRecord,
  type PluginView,
  type ReturningSubscribers,
  SkipPlugin,
  type Token,
  token,
} from "./define.ts";
export { orderPlugins } from "./graph.ts";
export { dotted } from "./issues.ts";
export { type StartedPlugins, startPlugins } from "./lifecycle.ts";
export type { Commit, Prepare } from "./live.ts";
export { defaultConfig, type LoadedConfig, loadConfig } from "./load-config.ts";
export { decodePlugins, type PluginConfigs } from "./plugin-config.ts";
export * from "./schema.ts";
export {
  createTimeLimits,
  defaultTimeLimits,
  isLiveTimeout,
  type ReplaceableLimits,
  type TimeLimits,
  withLiveTimeouts,
} from "./timeouts.ts";
