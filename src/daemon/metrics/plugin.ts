import type { TaskManager } from "../../core/tasks/index.ts";
import { containersToken, exchangeToken, gcToken, metadataToken, tasksToken } from "../../core/tokens.ts";
import {
  definePlugin,
  flag,
  type Kind,
  kind,
  optional,
  ownerId,
  type PluginDefinition,
  SkipPlugin,
  type Token,
  table,
  text,
  token,
} from "../../plugin/index.ts";
import type { CallObserver } from "../../wire/grpc/index.ts";
import type { ServiceDefinition } from "../../wire/service.ts";
import { pageServer } from "../listeners/page-server.ts";
import { SERVER, type Server } from "../listeners/server.ts";

/** What hears of the calls of the daemon's API, and is told beforehand what is served. */
export interface CallMetrics extends CallObserver {
  add(services: readonly ServiceDefinition[]): void;
}

const METRICS: Kind<CallMetrics> = kind("io.containerd.metrics.v1");
const MONITOR: Kind<{ readonly isExported: boolean }> = kind("io.containerd.monitor.task.v1");

export const callMetricsToken: Token<CallMetrics> = token(METRICS, "grpc-prometheus");
const monitorToken: Token<{ readonly isExported: boolean }> = token(MONITOR, "cgroups");

/** The socket of metrics, which others ask whether anybody wants them. */
interface MetricsServer extends Server {
  /** How calls are counted; called before it starts, if at all. */
  countCalls(withTimes: boolean): CallMetrics;
}

const metricsServerToken: Token<MetricsServer> = token(SERVER, "metrics");

/** Whether figures of containers are on the page. Source: containerd core/metrics/cgroups/cgroups.go. */
const monitor: PluginDefinition = definePlugin({
  type: MONITOR,
  id: "cgroups",
  config: table({ no_prometheus: flag() }),
  init: (_given, { config }) => ({ isExported: !config.no_prometheus }),
});

/** Counts the calls of the API, where there is a page to tell of them. Source: containerd plugins/server/grpc/metrics.go. */
const callMetrics: PluginDefinition = definePlugin({
  type: METRICS,
  id: "grpc-prometheus",
  requires: { server: optional(metricsServerToken) },
  config: table({ grpc_histogram: flag() }),
  init: ({ server }, { config }) => {
    if (server === undefined) throw new SkipPlugin("no metrics address");
    return server.countCalls(config.grpc_histogram);
  },
});

/** The page of metrics. Source: containerd plugins/server/metrics/plugin.go. */
const metricsServer: PluginDefinition = definePlugin({
  type: SERVER,
  id: "metrics",
  requires: {
    monitor: optional(monitorToken),
    tasks: optional<TaskManager>(tasksToken),
    containers: optional(containersToken),
    exchange: optional(exchangeToken),
    metadata: optional(metadataToken),
    gc: optional(gcToken),
  },
  config: table({
    address: text(),
    uid: ownerId(process.geteuid?.() ?? 0),
    gid: ownerId(process.getegid?.() ?? 0),
  }),
  init: async ({ monitor, tasks, containers, ...sources }, { config, daemon, log, scope }): Promise<MetricsServer> => {
    if (config.address === "") throw new SkipPlugin("no address");
    // A daemon without this page does not load what makes it.
    const { CallCounts, MetricsPage, serveMetrics } = await import("./index.ts");
    let calls: InstanceType<typeof CallCounts> | undefined;
    const server = pageServer({ name: "metrics", place: { ...config, isOpen: true }, log, scope }, async () => {
      const page = scope.use(
        new MetricsPage({
          ...sources,
          tasks: tasks?.figures,
          containers: monitor?.isExported === true ? containers : undefined,
          calls,
          timeouts: daemon.timeouts,
          log,
        }),
      );
      return (fd) => serveMetrics(fd, page, log);
    });
    return { ...server, countCalls: (withTimes) => (calls ??= new CallCounts(withTimes)) };
  },
});

export const metricsPlugins: readonly PluginDefinition[] = [monitor, metricsServer, callMetrics];
