import type { Ctx } from "../../lib/ctx.ts";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { GRPC, gcToken, LEASE, leasesToken, metadataToken } from "../tokens.ts";
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
  requires: { manager: leasesToken, gc: gcToken },
  init: ({ manager, gc }) => {
    const collectGarbage = async (ctx: Ctx): Promise<void> => void (await gc.collect(ctx));
    return { grpc: [createLeasesService({ manager, collectGarbage })] };
  },
});

export const leasesPlugins: readonly PluginDefinition[] = [managerPlugin, servicePlugin];
