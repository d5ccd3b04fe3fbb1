import { definePlugin, type PluginDefinition, token } from "../../plugin/index.ts";
import {
  CONTENT,
  contentToken,
  exchangeToken,
  GRPC,
  leasesToken,
  METADATA,
  metadataToken,
  namespacesToken,
  SERVICE,
} from "../tokens.ts";
import { type ContentStore, createContentService, hasBlobs, openContentStore } from "./index.ts";

const storePlugin: PluginDefinition = definePlugin({
  type: CONTENT,
  id: "content",
  requires: { metadata: metadataToken, exchange: exchangeToken, leases: leasesToken, namespaces: namespacesToken },
  init: async ({ metadata, exchange, leases, namespaces }, { root, meta, log, scope, plugins }) => {
    meta.exports.set("root", root);
    namespaces.registerOccupancy("blobs", hasBlobs);
    // The policy is a setting of the metadata plugin, as in containerd.
    const policy = plugins.find(METADATA.type, "bolt")?.meta.exports.get("policy");
    const sharingPolicy = policy === "isolated" ? "isolated" : "shared";
    return scope.use(await openContentStore({ root, metadata, exchange, leases, namespaces, sharingPolicy, log }));
  },
});

const localPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "content-service",
  requires: { store: token<ContentStore>(CONTENT, "content") },
  init: ({ store }) => store,
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "content",
  requires: { store: contentToken },
  init: ({ store }) => ({ grpc: [createContentService({ store })] }),
});

export const contentPlugins: readonly PluginDefinition[] = [storePlugin, localPlugin, servicePlugin];
