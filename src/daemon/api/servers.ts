import { GRPC, LIGHTER_GRPC, type ServedApi } from "../../core/tokens.ts";
import type { Logger } from "../../lib/log.ts";
import {
  definePlugin,
  fileMode,
  optional,
  ownerId,
  type PluginDefinition,
  SkipPlugin,
  table,
  text,
} from "../../plugin/index.ts";
import { createKernel } from "../../sys/index.ts";
import { createGrpcServer, observers } from "../../wire/grpc/index.ts";
import { createLookout } from "../../wire/http2/index.ts";
import type { ServiceDefinition } from "../../wire/service.ts";
import { createTtrpcServer } from "../../wire/ttrpc/index.ts";
import type { CallsServer } from "../debug/calls-under-way.ts";
import { debugServer } from "../debug/debug-server.ts";
import type { Listeners } from "../listeners/listeners.ts";
import { type Begin, graceMs, SERVER } from "../listeners/server.ts";
import { socketPath } from "../listeners/sockets.ts";
import { callMetricsToken, metricsPlugins } from "../metrics/plugin.ts";
import { tracingPlugins, tracingToken } from "../tracing/plugin.ts";
import { endingOf } from "./call-endings.ts";
import { limitsOf, messageSizes } from "./message-limits.ts";
import { tcpServer } from "./tcp-server.ts";

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
  },
  config: table({
    ...socketConfig,
    ...messageSizes,
  }),
  live: ["max_recv_message_size", "max_send_message_size"],
  init: ({ apis, ours, metrics, tracing }, { config, log, scope, onReload }): CallsServer => {
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
    scope.defer(() => server.close(0));
    return {
      calls: () => server.calls(),
      close: (quiet) => server.close(graceMs, quiet),
      open: (listeners) => listen("gRPC", listeners, config, log, (fd) => server.serve({ fd })),
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
      open: (listeners) => listen("ttrpc", listeners, config, log, (fd) => server.serve(fd)),
    };
  },
});

function ttrpcServices(apis: readonly ServedApi[]): readonly ServiceDefinition[] {
  return apis.flatMap((api) => api.ttrpc ?? []);
}

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
): Promise<Begin> {
  const path = socketPath(config.address);
  const fd = await listeners.open(path, config);
  return () => {
    serve(fd);
    log.info(`serving ${what}`, { address: path });
  };
}

export const serverPlugins: readonly PluginDefinition[] = [
  grpcServer,
  ttrpcServer,
  debugServer,
  ...metricsPlugins,
  tcpServer,
  ...tracingPlugins,
];
