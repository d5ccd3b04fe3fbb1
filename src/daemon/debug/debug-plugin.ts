import type { TaskManager } from "../../core/tasks/index.ts";
import { LIGHTER_GRPC, tasksToken } from "../../core/tokens.ts";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { createKernel } from "../../sys/index.ts";
import { createDebugService } from "./debug-service.ts";

/** lighter.debug.v1.Debug on the daemon's socket. It is there though other plugins are not. */
export const debugPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "debug",
  init: (_given, { plugins }) => {
    const tasks = (): TaskManager["figures"] | undefined =>
      (plugins.instance(tasksToken.uri) as TaskManager | undefined)?.figures;
    return { grpc: [createDebugService({ plugins, tasks, kernel: createKernel() })] };
  },
});
