import { FaultError } from "../lib/faults.ts";
import type { Need, PluginDefinition } from "./define.ts";

/**
 * Orders plugins so that each comes after what it needs, depth first in the order of the list, as containerd does.
 * Shape: `disabled` holds URIs; those plugins are left out, and what needs them fails when it starts.
 * Errors: failedPrecondition (a URI twice, or a circle, whose path is named).
 * Source: github.com/containerd/plugin plugin.go, Registry.Graph.
 */
export function orderPlugins(
  plugins: readonly PluginDefinition[],
  disabled: ReadonlySet<string>,
): readonly PluginDefinition[] {
  checkUnique(plugins);
  const ordered: PluginDefinition[] = [];
  const done = new Set(plugins.filter((plugin) => disabled.has(plugin.uri)));
  const visit = (plugin: PluginDefinition, stack: readonly PluginDefinition[]): void => {
    if (done.has(plugin)) return;
    if (stack.includes(plugin)) throw circle([...stack, plugin]);
    for (const need of plugin.needs)
      for (const other of meeting(need, plugins)) if (other !== plugin) visit(other, [...stack, plugin]);
    done.add(plugin);
    ordered.push(plugin);
  };
  for (const plugin of plugins) visit(plugin, []);
  return ordered;
}

function meeting(need: Need, plugins: readonly PluginDefinition[]): readonly PluginDefinition[] {
  const target = "optional" in need ? need.optional : need;
  if ("uri" in target) return plugins.filter((plugin) => plugin.uri === target.uri);
  return plugins.filter((plugin) => plugin.type === target.type);
}

function checkUnique(plugins: readonly PluginDefinition[]): void {
  const seen = new Set<string>();
  for (const { uri } of plugins) {
    if (seen.has(uri)) throw new FaultError("failedPrecondition", `${uri}: plugin: id already registered`);
    seen.add(uri);
  }
}

function circle(path: readonly PluginDefinition[]): FaultError {
  const names = path.map((plugin) => plugin.uri).join(" -> ");
  return new FaultError("failedPrecondition", `plugin: dependency loop detected: ${names}`);
}
