import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { GRPC, LEASE, leasesToken, metadataToken } from "../tokens.ts";
import { createLeaseManager, createLeasesService } from "./index.ts";

const managerPlugin: PluginDefinition = definePlugin({
  type: LEASE,
  id: "manager",
  requires: { metadata: metadataToken },
  init: ({ metadata }) => createLeaseManager({ metadata }),
});

const servicePlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "leases",
  requires: { manager: leasesToken },
  init: ({ manager }) => ({ grpc: [createLeasesService({ manager })] }),
});

export const leasesPlugins: readonly PluginDefinition[] = [managerPlugin, servicePlugin];
