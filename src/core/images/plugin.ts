import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import {
  exchangeToken,
  GRPC,
  gcToken,
  IMAGE_VERIFIER,
  imagesToken,
  leasesToken,
  metadataToken,
  namespacesToken,
  SERVICE,
} from "../tokens.ts";
import { combineVerifiers } from "../verifiers/index.ts";
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
  requires: { store: imagesToken, gc: gcToken, verifiers: IMAGE_VERIFIER },
  init: ({ store, gc, verifiers }) => {
    const judges = combineVerifiers(verifiers);
    const verify = async (ctx: Ctx, name: string, target: Descriptor): Promise<void> => {
      const { mediaType, digest, size } = target;
      // What is malformed is refused by the store, in containerd's words.
      if (digestProblem(digest) !== undefined) return;
      await judges.verify(ctx, "create", name, { mediaType, digest: digest as Digest, sizeBytes: Number(size) });
    };
    const collectGarbage = async (ctx: Ctx): Promise<void> => void (await gc.collect(ctx));
    return { grpc: [createImagesService({ store, collectGarbage, verify })] };
  },
});

export const imagesPlugins: readonly PluginDefinition[] = [storePlugin, servicePlugin];
