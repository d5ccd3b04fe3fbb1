import { configVersion, decodePlugins, defaultConfig, type PluginDefinition } from "../plugin/index.ts";
import type { Flavour } from "./flavours.ts";
import type { DaemonOptions } from "./options.ts";
import { resolveSettings, withPlaces } from "./settings.ts";

/** The configuration in force, every default written out, in the newest version; for `config default` and `config dump`. */
export async function configText(
  options: DaemonOptions,
  flavour: Flavour,
  plugins: readonly PluginDefinition[],
): Promise<Record<string, unknown>> {
  const settings = options.command === "config-dump" ? await resolveSettings(options, flavour) : undefined;
  const config = settings?.config ?? withPlaces(defaultConfig(), undefined, flavour);
  const { byUri } = decodePlugins(plugins, config);
  const { top } = config;
  const tables = plugins.flatMap((plugin) => {
    const table = plugin.config.encode(byUri.get(plugin.uri));
    return table === undefined ? [] : [[plugin.uri, table] as const];
  });
  return {
    version: configVersion,
    root: settings?.root ?? flavour.root,
    state: settings?.state ?? flavour.state,
    temp: top.temp,
    oom_score: top.oom_score,
    disabled_plugins: top.disabled_plugins,
    required_plugins: top.required_plugins,
    imports: settings === undefined ? [flavour.imports] : top.imports,
    debug: { level: top.debug.level || "info", format: top.debug.format || "text" },
    plugins: Object.fromEntries(tables.toSorted(([a], [b]) => (a < b ? -1 : 1))),
  };
}
