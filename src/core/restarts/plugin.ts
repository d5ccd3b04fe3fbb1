import { createFailpoint, failpointVariable } from "../../lib/failpoints.ts";
import { restartPolicyNames } from "../../lib/restart-labels.ts";
import { definePlugin, duration, type Kind, kind, type PluginDefinition, table } from "../../plugin/index.ts";
import { containersToken, exchangeToken, snapshottersToken, tasksToken } from "../tokens.ts";
import { startRestartMonitor } from "./index.ts";
import type { RestartFailpoint } from "./steps.ts";

const CONTAINER_MONITOR: Kind<AsyncDisposable> = kind("io.containerd.monitor.container.v1");

/** Source: containerd plugins/restart/monitor.go. */
const defaultIntervalMs = 10_000;
/** More often than this the backstop is no backstop any more. */
const leastIntervalMs = 100;

/** Keeps containers running, by containerd's labels. Its older name, io.containerd.internal.v1.restart, is known in configurations. */
export const restartsPlugin: PluginDefinition = definePlugin({
  type: CONTAINER_MONITOR,
  id: "restart",
  requires: {
    containers: containersToken,
    tasks: tasksToken,
    snapshotters: snapshottersToken,
    exchange: exchangeToken,
  },
  config: table({ interval: duration(defaultIntervalMs) }),
  init: async (given, { config, meta, log, scope }) => {
    meta.capabilities.push(...restartPolicyNames);
    const intervalMs = config.interval <= 0 ? defaultIntervalMs : Math.max(config.interval, leastIntervalMs);
    const failpoint: RestartFailpoint = createFailpoint(process.env[failpointVariable]);
    return scope.use(await startRestartMonitor({ ...given, intervalMs, failpoint, log }));
  },
});
