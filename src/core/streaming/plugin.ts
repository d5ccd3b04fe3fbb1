import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { GRPC, gcToken, STREAMING, streamsToken } from "../tokens.ts";
import { createStreamingService, createStreamManager } from "./index.ts";

const managerPlugin: PluginDefinition = definePlugin({
  type: STREAMING,
  id: "manager",
  requires: { gc: gcToken },
  init: ({ gc }, { scope }) => {
    const manager = createStreamManager();
    scope.use(gc.register(manager.collector));
    return manager;
  },
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "streaming",
  requires: { manager: streamsToken },
  init: ({ manager }) => ({ grpc: [createStreamingService({ manager })] }),
});

export const streamingPlugins: readonly PluginDefinition[] = [managerPlugin, servicePlugin];
