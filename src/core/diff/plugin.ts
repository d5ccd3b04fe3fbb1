import { isFault, notFound, notImplemented } from "../../lib/faults.ts";
import { definePlugin, flag, type PluginDefinition, table, texts } from "../../plugin/index.ts";
import {
  contentToken,
  DIFFER,
  differToken,
  GRPC,
  hostPlatform,
  LIGHTER_GRPC,
  mountManagerToken,
  SERVICE,
} from "../tokens.ts";
import type { Differ } from "./differ.ts";
import {
  createDiffer,
  createDiffService,
  createLayerRepacker,
  createLayersService,
  withManagedMounts,
} from "./index.ts";
import { defaultProcessors } from "./processors.ts";

const walkingPlugin: PluginDefinition = definePlugin({
  type: DIFFER,
  id: "walking",
  requires: { content: contentToken, mounts: mountManagerToken },
  init: ({ content, mounts }, { meta, root, daemon }) => {
    meta.platforms.push(hostPlatform);
    const processors = new Map([...defaultProcessors, ...daemon.streamProcessors]);
    return withManagedMounts(createDiffer({ content, root, processors }), mounts);
  },
});

const localPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "diff-service",
  requires: { all: DIFFER },
  config: table({ default: texts(["walking"]), sync_fs: flag() }),
  init: ({ all }, { config }) => {
    const chosen = config.default.map((id) => {
      const differ = all.get(id);
      if (differ === undefined) throw notFound(`needed differ not loaded: ${id}`);
      return differ;
    });
    const [only] = chosen;
    const differ = chosen.length === 1 && only !== undefined ? only : inTurn(chosen);
    return config.sync_fs ? syncing(differ) : differ;
  },
});

/** Asks one after the other, as long as they say that it is none of theirs. Source: plugins/services/diff/local.go. */
function inTurn(differs: readonly Differ[]): Differ {
  const ask = async <T>(action: (differ: Differ) => Promise<T>): Promise<T> => {
    let last: unknown = notImplemented("no differ");
    for (const differ of differs) {
      try {
        return await action(differ);
      } catch (error) {
        if (!isFault(error, "notImplemented")) throw error;
        last = error;
      }
    }
    throw last;
  };
  return {
    apply: (ctx, layer, mounts, options) => ask((differ) => differ.apply(ctx, layer, mounts, options)),
    compare: (ctx, lower, upper, options) => ask((differ) => differ.compare(ctx, lower, upper, options)),
  };
}

/** Applies as the other does, and brings each layer to disk, whether asked to or not. */
function syncing(differ: Differ): Differ {
  const forImage = (): Differ & AsyncDisposable => {
    const own = differ.forImage?.();
    return { ...syncing(own ?? differ), [Symbol.asyncDispose]: async () => own?.[Symbol.asyncDispose]() };
  };
  return {
    ...(differ.forImage === undefined ? {} : { forImage }),
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

/** What containerd has not: layers are packed anew by workers, and do not travel for it. */
const layersPlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "layers",
  requires: { content: contentToken },
  init: ({ content }) => ({ grpc: [createLayersService({ repacker: createLayerRepacker({ content }) })] }),
});

export const diffPlugins: readonly PluginDefinition[] = [walkingPlugin, localPlugin, servicePlugin, layersPlugin];
