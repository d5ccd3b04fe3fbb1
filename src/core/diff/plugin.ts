import { definePlugin, flag, type PluginDefinition, table, texts } from "../../plugin/index.ts";
import { contentToken, DIFFER, differToken, GRPC, hostPlatform, SERVICE, walkingToken } from "../tokens.ts";
import type { Differ } from "./differ.ts";
import { createDiffer, createDiffService } from "./index.ts";
import { defaultProcessors } from "./processors.ts";

const walkingPlugin: PluginDefinition = definePlugin({
  type: DIFFER,
  id: "walking",
  requires: { content: contentToken },
  init: ({ content }, { meta, root, daemon }) => {
    meta.platforms.push(hostPlatform);
    const processors = new Map([...defaultProcessors, ...daemon.streamProcessors]);
    return createDiffer({ content, root, processors });
  },
});

const localPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "diff-service",
  requires: { walking: walkingToken },
  config: table({ default: texts(["walking"]), sync_fs: flag() }),
  init: ({ walking }, { config }) => (config.sync_fs ? syncing(walking) : walking),
});

/** Applies as the other does, and brings each layer to disk, whether asked to or not. */
function syncing(differ: Differ): Differ {
  return {
    apply: (ctx, layer, mounts, options) => differ.apply(ctx, layer, mounts, { ...options, syncFs: true }),
    takesStream: (mediaType) => differ.takesStream?.(mediaType) === true,
    ...(differ.settle === undefined ? {} : { settle: differ.settle.bind(differ) }),
    compare: (ctx, lower, upper, options) => differ.compare(ctx, lower, upper, options),
  };
}

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "diff",
  requires: { differ: differToken },
  init: ({ differ }) => ({ grpc: [createDiffService({ differ })] }),
});

export const diffPlugins: readonly PluginDefinition[] = [walkingPlugin, localPlugin, servicePlugin];
