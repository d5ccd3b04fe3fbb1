import { type ConfigPath, encodeTop, isLiveTimeout, isTable, type PluginDefinition } from "../../plugin/index.ts";
import type { Settings } from "./settings.ts";

/** A setting that is another than before. */
export interface ConfigChange {
  readonly path: ConfigPath;
  readonly from: unknown;
  readonly to: unknown;
  /** It may change while the daemon runs. */
  readonly isLive: boolean;
}

/** What is in force, or what a file asks for: the settings, and every plugin's of its own by URI. */
export interface ConfigState {
  readonly settings: Settings;
  readonly byUri: ReadonlyMap<string, unknown>;
}

/** Keys of the top whose change needs nothing: they say how the file is to be read, or are compared elsewhere. */
const apart: ReadonlySet<string> = new Set(["version", "imports", "plugins", "root", "state", "debug"]);
const liveDebugKeys: ReadonlySet<string> = new Set(["level", "format", "log_trace_id"]);

/** Every setting that differs, in the order in which a file has them. */
export function configChanges(
  plugins: readonly PluginDefinition[],
  now: ConfigState,
  next: ConfigState,
): readonly ConfigChange[] {
  const changes = [...topChanges(now.settings, next.settings)];
  for (const plugin of plugins) {
    const before = plugin.config.encode(now.byUri.get(plugin.uri));
    const after = plugin.config.encode(next.byUri.get(plugin.uri));
    for (const [key, from, to] of differences(before, after))
      changes.push({ path: ["plugins", plugin.uri, key], from, to, isLive: plugin.live.includes(key) });
  }
  return changes;
}

/**
 * The settings of every plugin with what is live as `next` has it, and all else as it was.
 * Shape: by URI.
 */
export function withLive(
  plugins: readonly PluginDefinition[],
  now: ReadonlyMap<string, unknown>,
  next: ReadonlyMap<string, unknown>,
): ReadonlyMap<string, unknown> {
  return new Map(
    plugins.map(({ uri, live }) => {
      const [before, after] = [now.get(uri), next.get(uri)];
      if (!isTable(before) || !isTable(after)) return [uri, before];
      return [uri, { ...before, ...Object.fromEntries(live.map((key) => [key, after[key]])) }];
    }),
  );
}

function* topChanges(now: Settings, next: Settings): Generator<ConfigChange> {
  for (const key of ["root", "state"] as const)
    if (now[key] !== next[key]) yield { path: [key], from: now[key], to: next[key], isLive: false };
  const [before, after] = [encodeTop(now.top), encodeTop(next.top)];
  for (const [key, from, to] of differences(before, after)) {
    if (apart.has(key)) continue;
    if (!isTable(from) || !isTable(to)) yield { path: [key], from, to, isLive: false };
    else
      for (const [name, old, one] of differences(from, to))
        yield { path: [key, name], from: old, to: one, isLive: key === "timeouts" && isLiveTimeout(name) };
  }
  for (const [key, from, to] of differences(before.debug, after.debug))
    yield { path: ["debug", key], from, to, isLive: liveDebugKeys.has(key) };
}

/** Keys whose values differ; undefined stands for one that is not there. */
function differences(before: unknown, after: unknown): (readonly [key: string, from: unknown, to: unknown])[] {
  const [from, to] = [isTable(before) ? before : {}, isTable(after) ? after : {}];
  return [...new Set([...Object.keys(from), ...Object.keys(to)])]
    .filter((key) => !Bun.deepEquals(from[key], to[key]))
    .map((key) => [key, from[key], to[key]] as const);
}
