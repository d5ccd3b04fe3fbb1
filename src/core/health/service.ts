import { ContainerHealth } from "../../gen/lighter/health/v1/health_pb.ts";
import { Instant } from "../../lib/instant.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { ContainerStore } from "../containers/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { HealthMonitor } from "./health-monitor.ts";

export interface HealthServiceOptions {
  readonly containers: Pick<ContainerStore, "get">;
  readonly monitor: Pick<HealthMonitor, "stateOf">;
}

/** The gRPC face of the health monitor. */
export function createHealthService({ containers, monitor }: HealthServiceOptions): ServiceDefinition {
  return defineService(ContainerHealth, {
    get: async (ctx, { containerId }) => {
      const namespace = requireNamespace(ctx);
      const { id } = containers.get(ctx, containerId);
      const state = await monitor.stateOf({ namespace, id });
      if (state === undefined) return {};
      const { status, failingStreak, probes } = state;
      return {
        status,
        failingStreak,
        probes: probes.map(({ startedMs, endedMs, exitCode, output }) => ({
          startedAt: Instant.ofMs(startedMs).toTimestamp(),
          endedAt: Instant.ofMs(endedMs).toTimestamp(),
          exitCode,
          output,
        })),
      };
    },
  });
}
