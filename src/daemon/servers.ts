import type { DescMethod } from "@bufbuild/protobuf";
import { exchangeToken, GRPC, LIGHTER_GRPC, type ServedApi } from "../core/tokens.ts";
import type { Logger } from "../lib/log.ts";
import {
  definePlugin,
  fileMode,
  optional,
  ownerId,
  type PluginDefinition,
  SkipPlugin,
  table,
  text,
} from "../plugin/index.ts";
import { createKernel } from "../sys/index.ts";
import { createGrpcServer, type Ending, observers } from "../wire/grpc/index.ts";
import { createLookout } from "../wire/http2/index.ts";
import type { ServiceDefinition } from "../wire/service.ts";
import { createTtrpcServer } from "../wire/ttrpc/index.ts";
import type { CallsServer } from "./calls-under-way.ts";
import { debugServer } from "./debug-server.ts";
import type { Listeners } from "./listeners.ts";
import { limitsOf, messageSizes } from "./message-limits.ts";
import { callMetricsToken, metricsPlugins } from "./metrics/plugin.ts";
import { SERVER } from "./server.ts";
import { socketPath } from "./sockets.ts";
import { tcpServer } from "./tcp-server.ts";
import { tracingPlugins, tracingToken } from "./tracing/plugin.ts";

/** How long a stopping daemon waits for the calls under way, but for those that wait themselves. */
const graceMs = 5000;

const uid = (): number => process.geteuid?.() ?? 0;
const gid = (): number => process.getegid?.() ?? 0;
/** `mode` is ours; containerd's sockets have 0660, always. */
const socketConfig = { address: text(), uid: ownerId(uid()), gid: ownerId(gid()), mode: fileMode(0o660) };

const grpcServer: PluginDefinition = definePlugin({
  type: SERVER,
  id: "grpc",
  requires: {
    apis: GRPC,
    ours: LIGHTER_GRPC,
    metrics: optional(callMetricsToken),
    tracing: optional(tracingToken),
    exchange: optional(exchangeToken),
  },
  config: table({
    ...socketConfig,
    ...messageSizes,
  }),
  live: ["max_recv_message_size", "max_send_message_size"],
  init: ({ apis, ours, metrics, tracing, exchange }, { config, log, scope, onReload }): CallsServer => {
    const services = [...apis.values(), ...ours.values()].flatMap((api) => api.grpc);
    metrics?.add(services);
    const server = createGrpcServer({
      services,
      log,
      ending: endingOf,
      lookout: createLookout(createKernel()),
      observer: observers([metrics, tracing].filter((one) => one !== undefined)),
      limits: limitsOf(config),
    });
    onReload((next) => () => server.limitMessages(limitsOf(next)));
    // Subscribers hear all that came of the calls that have just ended, and nothing is taken that they would not hear of.
    scope.defer(() => server.close(graceMs, () => exchange?.retire()));
    return {
      calls: () => server.calls(),
      start: (listeners) => listen("gRPC", listeners, config, log, (fd) => server.listen({ fd })),
    };
  },
});

const ttrpcServer: PluginDefinition = definePlugin({
  type: SERVER,
  id: "ttrpc",
  requires: { apis: GRPC },
  config: table(socketConfig),
  init: ({ apis }, { config, log, scope }) => {
    const services = ttrpcServices([...apis.values()]);
    if (services.length === 0) throw new SkipPlugin("no ttrpc services configured");
    const server = createTtrpcServer({ services, log });
    scope.defer(() => server.close());
    return {
      start: (listeners) => listen("ttrpc", listeners, config, log, (fd) => server.serve(fd)),
    };
  },
});

function ttrpcServices(apis: readonly ServedApi[]): readonly ServiceDefinition[] {
  return apis.flatMap((api) => api.ttrpc ?? []);
}

/** Calls that wait for what may be days away are cut off; subscribers to events end with the exchange. */
function endingOf({ parent, name }: DescMethod): Ending {
  const method = `${parent.typeName}/${name}`;
  if (method === "containerd.services.events.v1.Events/Subscribe") return "follow";
  return waits.has(method) ? "cut" : "finish";
}

const waits: ReadonlySet<string> = new Set([
  "containerd.services.tasks.v1.Tasks/Wait",
  "containerd.services.sandbox.v1.Controller/Wait",
  "grpc.health.v1.Health/Watch",
]);

interface SocketConfig {
  readonly address: string;
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

async function listen(
  what: string,
  listeners: Listeners,
  config: SocketConfig,
  log: Logger,
  serve: (fd: number) => unknown,
): Promise<void> {
  const path = socketPath(config.address);
  await serve(await listeners.open(path, config));
  log.info(`serving ${what}`, { address: path });
}

export const serverPlugins: readonly PluginDefinition[] = [
  grpcServer,
  ttrpcServer,
  debugServer,
  ...metricsPlugins,
  tcpServer,
  ...tracingPlugins,
];
