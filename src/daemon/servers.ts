import { GRPC, LIGHTER_GRPC, type ServedApi } from "../core/tokens.ts";
import type { Logger } from "../lib/log.ts";
import {
  definePlugin,
  integer,
  messageBytes,
  optional,
  ownerId,
  type PluginDefinition,
  SkipPlugin,
  sizeBytes,
  table,
  text,
} from "../plugin/index.ts";
import { createKernel } from "../sys/index.ts";
import { createGrpcServer } from "../wire/grpc/index.ts";
import { createLookout } from "../wire/http2/index.ts";
import type { ServiceDefinition } from "../wire/service.ts";
import { createTtrpcServer } from "../wire/ttrpc/index.ts";
import type { CallsServer } from "./calls-under-way.ts";
import { debugServer } from "./debug-server.ts";
import type { Listeners } from "./listeners.ts";
import { callMetricsToken, metricsPlugins } from "./metrics/plugin.ts";
import { SERVER, type Server } from "./server.ts";
import { socketPath } from "./sockets.ts";

/** How long a stopping daemon waits for the calls under way. */
const graceMs = 1000;

const uid = (): number => process.geteuid?.() ?? 0;
const gid = (): number => process.getegid?.() ?? 0;
const socketConfig = { address: text(), uid: ownerId(uid()), gid: ownerId(gid()) };

const grpcServer: PluginDefinition = definePlugin({
  type: SERVER,
  id: "grpc",
  requires: { apis: GRPC, ours: LIGHTER_GRPC, metrics: optional(callMetricsToken) },
  config: table({
    ...socketConfig,
    max_recv_message_size: sizeBytes(messageBytes),
    max_send_message_size: sizeBytes(messageBytes),
  }),
  live: ["max_recv_message_size", "max_send_message_size"],
  init: ({ apis, ours, metrics }, { config, log, scope, onReload }): CallsServer => {
    const services = [...apis.values(), ...ours.values()].flatMap((api) => api.grpc);
    metrics?.add(services);
    const server = createGrpcServer({
      services,
      log,
      lookout: createLookout(createKernel()),
      observer: metrics,
      limits: limitsOf(config),
    });
    onReload((next) => () => server.limitMessages(limitsOf(next)));
    scope.defer(() => server.close(graceMs));
    return {
      calls: () => server.calls(),
      start: (listeners) => listen("gRPC", listeners, config, log, (fd) => server.listen({ fd })),
    };
  },
});

/** 0 is the default for what comes in, and no limit for what goes out. */
function limitsOf(config: MessageSizes): { readonly maxReceiveBytes: number; readonly maxSendBytes: number } {
  return {
    maxReceiveBytes: config.max_recv_message_size || messageBytes,
    maxSendBytes: config.max_send_message_size || Number.POSITIVE_INFINITY,
  };
}

interface MessageSizes {
  readonly max_recv_message_size: number;
  readonly max_send_message_size: number;
}

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

interface SocketConfig {
  readonly address: string;
  readonly uid: number;
  readonly gid: number;
}

async function listen(
  what: string,
  listeners: Listeners,
  config: SocketConfig,
  log: Logger,
  serve: (fd: number) => unknown,
): Promise<void> {
  const path = socketPath(config.address);
  await serve(await listeners.open(path, { mode: 0o660, uid: config.uid, gid: config.gid }));
  log.info(`serving ${what}`, { address: path });
}

const tcpConfig = {
  tls_ca: text(),
  tls_cert: text(),
  tls_key: text(),
  tls_common_name: text(),
  max_recv_message_size: sizeBytes(messageBytes),
  max_send_message_size: sizeBytes(messageBytes),
};

/** Sockets of containerd's that nothing of lighter's stands behind yet. */
function unbuiltServer(id: string): PluginDefinition {
  return definePlugin({
    type: SERVER,
    id,
    config: table({ address: text(), uid: integer(), gid: integer(), ...tcpConfig }),
    init: (_given, { config }): Server => {
      if (config.address !== "") throw new Error(`the ${id} server is not built yet`);
      throw new SkipPlugin("no address");
    },
  });
}

export const serverPlugins: readonly PluginDefinition[] = [
  grpcServer,
  ttrpcServer,
  debugServer,
  ...metricsPlugins,
  ...["grpc-tcp"].map(unbuiltServer),
];
