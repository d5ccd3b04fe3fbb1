import { definePlugin, type PluginDefinition, type Token, token } from "../../plugin/index.ts";
import type { ContentStore } from "../content/index.ts";
import {
  containersToken,
  exchangeToken,
  LIGHTER_GRPC,
  leasesToken,
  metadataToken,
  namespacesToken,
  SERVICE,
  tasksToken,
} from "../tokens.ts";
import { createCheckpointsService, createNamedCheckpoints, type NamedCheckpoints } from "./index.ts";

const contentToken: Token<ContentStore> = token(SERVICE, "content-service");
const checkpointsToken: Token<NamedCheckpoints> = token(SERVICE, "checkpoints-service");

const storePlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "checkpoints-service",
  requires: {
    metadata: metadataToken,
    containers: containersToken,
    content: contentToken,
    exchange: exchangeToken,
    leases: leasesToken,
    namespaces: namespacesToken,
    tasks: tasksToken,
  },
  init: (given, { daemon, log, scope }) => scope.use(createNamedCheckpoints({ ...given, root: daemon.root, log })),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: LIGHTER_GRPC,
  id: "checkpoints",
  requires: { checkpoints: checkpointsToken },
  init: ({ checkpoints }) => ({ grpc: [createCheckpointsService({ checkpoints })] }),
});

export const checkpointsPlugins: readonly PluginDefinition[] = [storePlugin, servicePlugin];
