import { GRPC } from "../core/tokens.ts";
import { Health, HealthCheckResponse_ServingStatus as Serving } from "../gen/grpc/health/v1/health_pb.ts";
import { abortFault } from "../lib/ctx.ts";
import { FaultError } from "../lib/faults.ts";
import { definePlugin, type PluginDefinition } from "../plugin/index.ts";
import { defineService, type ServiceDefinition } from "../wire/service.ts";

/**
 * gRPC's health service: the daemon answers, so it serves. Only the server as a whole (the empty name) is known.
 * Source: grpc-go health/server.go; containerd registers no names.
 */
function createHealthService(): ServiceDefinition {
  return defineService(Health, {
    check: (_ctx, { service }) => {
      if (service !== "") throw new FaultError("notFound", "unknown service");
      return { status: Serving.SERVING };
    },
    watch: async function* (ctx, { service }) {
      yield { status: service === "" ? Serving.SERVING : Serving.SERVICE_UNKNOWN };
      const { promise, resolve } = Promise.withResolvers<void>();
      ctx.signal.addEventListener("abort", () => resolve(), { once: true });
      if (!ctx.aborted) await promise;
      throw abortFault(ctx.signal);
    },
  });
}

export const healthPlugin: PluginDefinition = definePlugin({
  type: GRPC,
  id: "healthcheck",
  init: () => ({ grpc: [createHealthService()] }),
});
