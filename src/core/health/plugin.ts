import { existsSync } from "node:fs";
import path from "node:path";
import {
  choice,
  definePlugin,
  integer,
  type Kind,
  kind,
  type PluginDefinition,
  table,
  token,
} from "../../plugin/index.ts";
import { createKernel } from "../../sys/index.ts";
import { containersToken, exchangeToken, LIGHTER_GRPC, tasksToken } from "../tokens.ts";
import { createHealthService, HealthMonitor, StateFiles } from "./index.ts";

const LIGHTER_MONITOR: Kind<HealthMonitor> = kind("io.lighter.monitor.container.v1");

/** Where it is there, nerdctl has it run the checks of its containers. Source: nerdctl pkg/defaults, IsSystemdAvailable. */
const systemdFolder = "/run/systemd/system";

const monitorPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_MONITOR,
  id: "health",
  requires: { containers: containersToken, tasks: tasksToken, exchange: exchangeToken },
  config: table({ max_probes: integer(8, 1), nerdctl: choice(["auto", "always", "never"], "auto") }),
  init: (given, { config, state, log, scope }) => {
    const { max_probes: maxProbes, nerdctl } = config;
    const checksNerdctl = nerdctl === "auto" ? !existsSync(systemdFolder) : nerdctl === "always";
    const files = new StateFiles(path.join(state, "states"));
    const pipes = path.join(state, "pipes");
    const kernel = createKernel();
    return scope.use(new HealthMonitor({ ...given, kernel, files, pipes, maxProbes, checksNerdctl, log }));
  },
});

const servicePlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "health",
  requires: { containers: containersToken, monitor: token<HealthMonitor>(LIGHTER_MONITOR, "health") },
  init: (given) => ({ grpc: [createHealthService(given)] }),
});

/** Health checks of containers. */
export const healthPlugins: readonly PluginDefinition[] = [monitorPlugin, servicePlugin];
