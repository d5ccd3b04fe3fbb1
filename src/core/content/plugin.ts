import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import {
  CONTENT,
  contentToken,
  exchangeToken,
  GRPC,
  leasesToken,
  metadataToken,
  namespacesToken,
  SERVICE,
} from "../tokens.ts";
import { createContentService, hasBlobs, onlyContent, openContentStore, sharingPolicyOf } from "./index.ts";

const storePlugin: PluginDefinition = definePlugin({
  type: CONTENT,
  id: "content",
  requires: { metadata: metadataToken, exchange: exchangeToken, leases: leasesToken, namespaces: namespacesToken },
  init: async ({ metadata, exchange, leases, namespaces }, { root, meta, log, scope, plugins }) => {
    meta.exports.set("root", root);
    namespaces.registerOccupancy("blobs", hasBlobs);
    const sharingPolicy = sharingPolicyOf(plugins);
    return scope.use(await openContentStore({ root, metadata, exchange, leases, namespaces, sharingPolicy, log }));
  },
});

const localPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "content-service",
  requires: { stores: CONTENT },
  init: ({ stores }) => onlyContent(stores),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "content",
  requires: { store: contentToken },
  init: ({ store }) => ({ grpc: [createContentService({ store })] }),
});

export const contentPlugins: readonly PluginDefinition[] = [storePlugin, localPlugin, servicePlugin];
