import { defaultProcessors } from "../../core/diff/index.ts";
import {
  configVersion,
  decodePlugins,
  defaultConfig,
  encodeTop,
  isTable,
  type LoadedConfig,
  type PluginDefinition,
} from "../../plugin/index.ts";
import type { Flavour } from "./flavours.ts";
import type { DaemonOptions } from "./options.ts";
import { resolveSettings, withPlaces } from "./settings.ts";

/**
 * The configuration in force, every default written out, in the newest version; for `config default`, `dump` and `migrate`.
 * Shape: tables of plugins that are not served stand there as they are, migrated, so that nothing is lost on the way.
 */
export async function configText(
  options: DaemonOptions,
  flavour: Flavour,
  plugins: readonly PluginDefinition[],
): Promise<Record<string, unknown>> {
  const settings = options.command === "config-dump" ? await resolveSettings(options, flavour) : undefined;
  const config = settings?.config ?? withPlaces(defaultConfig(), undefined, flavour);
  const top = encodeTop(config.top);
  return {
    version: configVersion,
    root: settings?.root ?? flavour.root,
    state: settings?.state ?? flavour.state,
    temp: top.temp,
    disabled_plugins: top.disabled_plugins,
    required_plugins: top.required_plugins,
    oom_score: top.oom_score,
    imports: settings === undefined ? [flavour.imports] : top.imports,
    debug: { ...asTable(top.debug), level: config.top.debug.level || "info" },
    plugins: pluginTables(plugins, config),
    cgroup: top.cgroup,
    proxy_plugins: top.proxy_plugins,
    timeouts: top.timeouts,
    stream_processors: { ...processors(), ...asTable(top.stream_processors) },
  };
}

const asTable = (value: unknown): Readonly<Record<string, unknown>> => (isTable(value) ? value : {});

function pluginTables(plugins: readonly PluginDefinition[], config: LoadedConfig): Record<string, unknown> {
  const { byUri } = decodePlugins(plugins, config);
  const tables = new Map([...config.top.plugins].filter(([uri, table]) => isTable(table) && !byUri.has(uri)));
  for (const plugin of plugins) {
    const table = plugin.config.encode(byUri.get(plugin.uri));
    if (table !== undefined) tables.set(plugin.uri, table);
  }
  return Object.fromEntries([...tables].toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

function processors(): Record<string, unknown> {
  return Object.fromEntries([...defaultProcessors].map(([id, processor]) => [id, { ...processor }]));
}
