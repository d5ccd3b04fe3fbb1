import { quote } from "../lib/faults.ts";
import type { ConfigNote } from "./config.ts";
import type { PluginDefinition } from "./define.ts";
import { dotted, IssueList } from "./issues.ts";
import { knownPlugins } from "./known-plugins.ts";
import type { LoadedConfig } from "./load-config.ts";
import { shortNames } from "./migrate.ts";
import { nearest } from "./nearest.ts";
import { isTable } from "./schema.ts";

/** Every plugin's configuration, by URI, and what to say about the tables. */
export interface PluginConfigs {
  readonly byUri: ReadonlyMap<string, unknown>;
  readonly notes: readonly ConfigNote[];
}

/**
 * Decodes the tables of all plugins at once, so that every mistake shows at the first start.
 * Errors: invalidArgument with each mistake on a line of its own.
 */
export function decodePlugins(plugins: readonly PluginDefinition[], config: LoadedConfig): PluginConfigs {
  const issues = new IssueList();
  const report = issues.reportFor(config.document, "config");
  const byUri = new Map(
    plugins.map((plugin) => {
      const path = ["plugins", plugin.uri];
      return [plugin.uri, plugin.config.decode(config.document.get(path), path, report)];
    }),
  );
  checkTables(config, byUri, issues);
  checkLists(config, byUri, issues);
  issues.throwIfWrong();
  return { byUri, notes: issues.notes };
}

function checkTables(config: LoadedConfig, byUri: ReadonlyMap<string, unknown>, issues: IssueList): void {
  const unserved: string[] = [];
  for (const [uri, value] of config.top.plugins) {
    if (byUri.has(uri)) continue;
    const origin = config.document.origin(["plugins", uri]);
    const place = [origin?.file ?? "config", origin?.line] as const;
    if (!isTable(value)) issues.wrong(...place, `${dotted(["plugins", uri])}: expected a table`);
    else if (knownPlugins.has(uri)) unserved.push(uri);
    else issues.warn(...place, `unknown plugin ${quote(uri)}: its settings are ignored${hint(uri, byUri)}`);
  }
  if (unserved.length > 0)
    issues.inform(
      config.path,
      undefined,
      `plugins of containerd's that are not served, their settings have no effect: ${unserved.toSorted().join(", ")}`,
    );
}

/**
 * A plugin that is switched off, and that nobody knows, is most likely mistyped: the one that was meant is on. One that the
 * daemon must not start without, and that is not there, stops it.
 */
function checkLists(config: LoadedConfig, byUri: ReadonlyMap<string, unknown>, issues: IssueList): void {
  const { disabled_plugins: disabled, required_plugins: required, proxy_plugins: proxies } = config.top;
  const isThere = (uri: string): boolean => byUri.has(uri) || [...proxies.keys()].some((id) => uri.endsWith(`.${id}`));
  const place = (key: string, index: number): readonly [string, number | undefined] => {
    const origin = config.document.origin([key, index]);
    return [origin?.file ?? "config", origin?.line];
  };
  for (const [index, uri] of disabled.entries())
    if (!isThere(uri) && !knownPlugins.has(uri))
      issues.warn(
        ...place("disabled_plugins", index),
        `disabled_plugins: there is no plugin ${quote(uri)}${hint(uri, byUri)}`,
      );
  for (const [index, uri] of required.entries())
    if (!isThere(uri))
      issues.wrong(
        ...place("required_plugins", index),
        `required_plugins: required plugin ${quote(uri)} is not included${knownPlugins.has(uri) ? "" : hint(uri, byUri)}`,
      );
}

function hint(uri: string, byUri: ReadonlyMap<string, unknown>): string {
  const short = Object.hasOwn(shortNames, uri) ? shortNames[uri] : undefined;
  const close = short ?? nearest(uri, [...byUri.keys(), ...knownPlugins]);
  return close === undefined ? "" : `; did you mean ${quote(close)}?`;
}
