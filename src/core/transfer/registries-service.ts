import { Registries } from "../../gen/lighter/registries/v1/registries_pb.ts";
import { invalidArgument } from "../../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { StreamManager } from "../streaming/index.ts";
import { decodeEndpoint } from "./endpoints.ts";
import { toWire } from "./parts.ts";
import type { Transferrer } from "./transfer.ts";

export interface RegistriesServiceOptions {
  readonly transferrer: Pick<Transferrer, "referrers">;
  readonly streams: StreamManager;
}

/** What is ours alone about registries. */
export function createRegistriesService({ transferrer, streams }: RegistriesServiceOptions): ServiceDefinition {
  return defineService(Registries, {
    referrers: async (ctx, { registry, artifactTypes }) => {
      using scope = new DisposableStack();
      const endpoint = decodeEndpoint(ctx, registry, streams, scope);
      if (endpoint.kind !== "registry") throw invalidArgument("the registry is none");
      const { subject, referrers } = await transferrer.referrers(ctx, endpoint, artifactTypes);
      return {
        subject: toWire(subject),
        referrers: referrers.map((one) => ({ descriptor: toWire(one), artifactType: one.artifactType ?? "" })),
      };
    },
  });
}
