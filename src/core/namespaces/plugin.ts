import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { exchangeToken, GRPC, metadataToken, namespacesToken, SERVICE } from "../tokens.ts";
import { createNamespaceStore, createNamespacesService } from "./index.ts";

const storePlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "namespaces-service",
  requires: { exchange: exchangeToken, metadata: metadataToken },
  init: ({ exchange, metadata }) => createNamespaceStore({ exchange, metadata }),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "namespaces",
  requires: { store: namespacesToken },
  init: ({ store }) => ({ grpc: [createNamespacesService({ store })] }),
});

export const namespacesPlugins: readonly PluginDefinition[] = [storePlugin, servicePlugin];
