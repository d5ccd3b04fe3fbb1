import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { containersToken, exchangeToken, GRPC, metadataToken, SERVICE } from "../tokens.ts";
import { createContainerStore, createContainersService } from "./index.ts";

const storePlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "containers-service",
  requires: { exchange: exchangeToken, metadata: metadataToken },
  init: ({ exchange, metadata }) => createContainerStore({ exchange, metadata }),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "containers",
  requires: { store: containersToken },
  init: ({ store }) => ({ grpc: [createContainersService({ store })] }),
});

export const containersPlugins: readonly PluginDefinition[] = [storePlugin, servicePlugin];
