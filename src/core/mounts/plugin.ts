import { join } from "node:path";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { GRPC, hostPlatform, MOUNT_HANDLER, MOUNT_MANAGER, metadataToken, mountManagerToken } from "../tokens.ts";
import { createMountManager, createMountsService } from "./index.ts";

/** What the manager's worker does for this type of mounts; that it is there is what clients look for. */
const erofsPlugin: PluginDefinition = definePlugin({
  type: MOUNT_HANDLER,
  id: "erofs",
  init: (_given, { meta }) => {
    meta.platforms.push(hostPlatform);
    return { type: "erofs" };
  },
});

const managerPlugin: PluginDefinition = definePlugin({
  type: MOUNT_MANAGER,
  id: "bolt",
  requires: { metadata: metadataToken, handlers: MOUNT_HANDLER },
  init: ({ metadata }, { daemon, state, log, scope }) =>
    scope.use(createMountManager({ metadata, targets: join(state, "t"), roots: [daemon.root], log })),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "mounts",
  requires: { manager: mountManagerToken },
  init: ({ manager }) => ({ grpc: [createMountsService({ manager })] }),
});

export const mountsPlugins: readonly PluginDefinition[] = [erofsPlugin, managerPlugin, servicePlugin];
