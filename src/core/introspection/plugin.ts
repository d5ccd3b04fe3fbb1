import { join } from "node:path";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { GRPC, introspectionToken, SERVICE, warningsToken } from "../tokens.ts";
import { createIntrospection, createIntrospectionService } from "./index.ts";

/** The identity stands where containerd keeps it: in the folder of the served plugin. */
const uuidFile = "io.containerd.grpc.v1.introspection/uuid";

const introspectionPlugin: PluginDefinition = definePlugin({
  type: SERVICE,
  id: "introspection-service",
  requires: { warnings: warningsToken },
  init: ({ warnings }, { plugins, daemon }) =>
    createIntrospection({ plugins, warnings, uuidPath: join(daemon.root, uuidFile) }),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "introspection",
  requires: { introspection: introspectionToken },
  init: ({ introspection }) => ({ grpc: [createIntrospectionService({ introspection })] }),
});

export const introspectionPlugins: readonly PluginDefinition[] = [introspectionPlugin, servicePlugin];
