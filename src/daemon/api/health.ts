import { GRPC } from "../../core/tokens.ts";
import { definePlugin, type PluginDefinition } from "../../plugin/index.ts";
import { createHealthService } from "../../wire/grpc/index.ts";

/** gRPC's health service. Probes may ask for the server as a whole; containerd registers no names either. */
export const healthPlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "healthcheck",
  init: () => ({ grpc: [createHealthService({ services: [] }).service] }),
});
