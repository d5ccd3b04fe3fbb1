import { GRPC, LIGHTER_GRPC, type ServedApi } from "../core/tokens.ts";
import { silentLogger } from "../lib/log.ts";
import {
  decodePlugins,
  defaultConfig,
  defaultTimeLimits,
  definePlugin,
  kind,
  orderPlugins,
  type PluginDefinition,
  startPlugins,
  token,
} from "../plugin/index.ts";
import type { ServiceDefinition } from "../wire/service.ts";
import { SERVER } from "./listeners/server.ts";
import { metricsPlugins } from "./metrics/plugin.ts";
import { tracingPlugins } from "./tracing/plugin.ts";

/** One method of the daemon's API. */
export interface Rpc {
  readonly service: string;
  readonly method: string;
  /** False for one that answers Unimplemented by its name. */
  readonly built: boolean;
}

/** Every method of the composed services over gRPC, by service and method. `folder` is a scratch folder, root and state. */
export async function listRpcs(plugins: readonly PluginDefinition[], folder: string): Promise<readonly Rpc[]> {
  const services = await composedServices(plugins, folder);
  return services
    .flatMap(({ desc, impl }) =>
      desc.methods.map((method) => ({
        service: desc.typeName,
        method: method.name,
        built: typeof impl[method.localName] === "function",
      })),
    )
    .toSorted((a, b) => (`${a.service}/${a.method}` < `${b.service}/${b.method}` ? -1 : 1));
}

/** The list of what is not built, in Markdown: a line a service. */
export function unfinishedText(rpcs: readonly Rpc[]): string {
  const byService = new Map<string, string[]>();
  for (const { service, method, built } of rpcs)
    if (!built) byService.set(service, [...(byService.get(service) ?? []), method]);
  if (byService.size === 0) return "None.";
  return [...byService].map(([service, methods]) => `- \`${service}\`: ${methods.join(", ")}`).join("\n");
}

const markers = ["<!-- unfinished-rpcs:start -->", "<!-- unfinished-rpcs:end -->"] as const;

/** A document with the list between its markers put in place of what stands there. Errors: no markers. */
export function withUnfinished(document: string, list: string): string {
  const start = document.indexOf(markers[0]);
  const end = document.indexOf(markers[1]);
  if (start < 0 || end < start) throw new Error(`the document has no ${markers.join(" ... ")}`);
  return `${document.slice(0, start + markers[0].length)}\n${list}\n${document.slice(end)}`;
}

/** Starts everything but the sockets, to see what it serves, and closes it again. */
async function composedServices(
  plugins: readonly PluginDefinition[],
  folder: string,
): Promise<readonly ServiceDefinition[]> {
  const COLLECT = kind<readonly ServedApi[]>("collect");
  const collector = definePlugin({
    type: COLLECT,
    id: "apis",
    requires: { apis: GRPC, ours: LIGHTER_GRPC },
    init: ({ apis, ours }) => [...apis.values(), ...ours.values()],
  });
  const ofSockets: ReadonlySet<PluginDefinition> = new Set([...metricsPlugins, ...tracingPlugins]);
  const all = [...plugins.filter((plugin) => plugin.type !== SERVER.type && !ofSockets.has(plugin)), collector];
  const { byUri } = decodePlugins(all, defaultConfig());
  await using started = await startPlugins({
    plugins: orderPlugins(all, new Set()),
    required: all.map((plugin) => plugin.uri),
    daemon: {
      root: `${folder}/root`,
      state: `${folder}/state`,
      grpcAddress: "",
      ttrpcAddress: "",
      streamProcessors: new Map(),
      timeouts: defaultTimeLimits,
    },
    log: silentLogger,
    config: (plugin) => byUri.get(plugin.uri),
  });
  return started.get(token<readonly ServedApi[]>(COLLECT, "apis")).flatMap((api) => api.grpc);
}
