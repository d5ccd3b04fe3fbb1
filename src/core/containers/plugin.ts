import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { containersToken, exchangeToken, GRPC, metadataToken, namespacesToken, SERVICE } from "../tokens.ts";
import { createContainerStore, createContainersService } from "./index.ts";

const storePlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "containers-service",
  requires: { exchange: exchangeToken, metadata: metadataToken, namespaces: namespacesToken },
  init: (given) => createContainerStore(given),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "containers",
  requires: { store: containersToken },
  init: ({ store }) => ({ grpc: [createContainersService({ store })] }),
});

export const containersPlugins: readonly PluginDefinition[] = [storePlugin, servicePlugin];
