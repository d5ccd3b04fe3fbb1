import {
  type HealthCheckRequest,
  HealthCheckResponse_ServingStatus,
  Health as HealthDesc,
} from "../../gen/grpc/health/v1/health_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError } from "../../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../service.ts";

const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = HealthCheckResponse_ServingStatus;

export interface HealthOptions {
  /** Full names of the services that probes may ask for; the empty name stands for the server and is always known. */
  readonly services: readonly string[];
}

/** What probes are told. */
export interface Health {
  readonly service: ServiceDefinition;
  /** Says whether the server takes work: not before it is ready, nor once it closes. */
  setServing(serving: boolean): void;
}

/**
 * gRPC's health checking protocol for a server whose services rise and fall together.
 * Source: grpc health/v1; grpc-go health/server.go for the texts.
 */
export function createHealthService(options: HealthOptions): Health {
  const known = new Set(["", ...options.services]);
  let serving = true;
  let changed = Promise.withResolvers<void>();
  const status = (name: string): HealthCheckResponse_ServingStatus => {
    if (!known.has(name)) return SERVICE_UNKNOWN;
    return serving ? SERVING : NOT_SERVING;
  };
  async function* watch(
    ctx: Ctx,
    { service }: HealthCheckRequest,
  ): AsyncGenerator<{ status: HealthCheckResponse_ServingStatus }> {
    const left = Promise.withResolvers<void>();
    ctx.signal.addEventListener("abort", () => left.resolve(), { once: true });
    for (let last: number | undefined; !ctx.aborted; ) {
      const change = changed.promise;
      const now = status(service);
      if (now !== last) yield { status: now };
      last = now;
      await Promise.race([change, left.promise]);
    }
  }
  return {
    service: defineService(HealthDesc, {
      check: (_ctx, { service }) => {
        if (!known.has(service)) throw new FaultError("notFound", "unknown service");
        return { status: status(service) };
      },
      watch,
    }),
    setServing: (next) => {
      serving = next;
      changed.resolve();
      changed = Promise.withResolvers<void>();
    },
  };
}
