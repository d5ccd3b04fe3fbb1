import type { MessageInitShape } from "@bufbuild/protobuf";
import { type LeaseSchema, Leases, type Resource } from "../../gen/containerd/services/leases/v1/leases_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { labelRecord } from "../../lib/labels.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { LeaseInfo, LeaseManager, LeaseResource } from "./leases.ts";

export interface LeasesServiceOptions {
  readonly manager: LeaseManager;
  /** Collects garbage and waits for it: what a synchronous delete asks for. */
  readonly collectGarbage?: ((ctx: Ctx) => Promise<void>) | undefined;
}

/** The gRPC face of the leases. */
export function createLeasesService({ manager, collectGarbage }: LeasesServiceOptions): ServiceDefinition {
  return defineService(Leases, {
    create: async (ctx, { id, labels }) => ({
      lease: encode(await manager.create(ctx, { id, labels: new Map(Object.entries(labels)) })),
    }),
    delete: async (ctx, { id, sync }) => {
      await manager.delete(ctx, id);
      if (sync) await collectGarbage?.(ctx);
      return {};
    },
    list: (ctx, { filters }) => ({ leases: manager.list(ctx, filters).map(encode) }),
    addResource: async (ctx, { id, resource }) => {
      await manager.addResource(ctx, id, decode(resource));
      return {};
    },
    deleteResource: async (ctx, { id, resource }) => {
      await manager.deleteResource(ctx, id, decode(resource));
      return {};
    },
    listResources: (ctx, { id }) => ({
      resources: manager.listResources(ctx, id).map(({ type, id: of }) => ({ type, id: of })),
    }),
  });
}

function decode(resource: Resource | undefined): LeaseResource {
  return { type: resource?.type ?? "", id: resource?.id ?? "" };
}

function encode(lease: LeaseInfo): MessageInitShape<typeof LeaseSchema> {
  return { id: lease.id, createdAt: lease.createdAt.toTimestamp(), labels: labelRecord(lease.labels) };
}
