import type { Ctx } from "../../lib/ctx.ts";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import {
  exchangeToken,
  GRPC,
  gcToken,
  imagesToken,
  leasesToken,
  metadataToken,
  namespacesToken,
  SERVICE,
} from "../tokens.ts";
import { createImageStore, createImagesService } from "./index.ts";

const storePlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "images-service",
  requires: { exchange: exchangeToken, metadata: metadataToken, leases: leasesToken, namespaces: namespacesToken },
  init: (given) => createImageStore(given),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "images",
  requires: { store: imagesToken, gc: gcToken },
  init: ({ store, gc }) => {
    const collectGarbage = async (ctx: Ctx): Promise<void> => void (await gc.collect(ctx));
    return { grpc: [createImagesService({ store, collectGarbage })] };
  },
});

export const imagesPlugins: readonly PluginDefinition[] = [storePlugin, servicePlugin];
