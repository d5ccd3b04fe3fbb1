import { create } from "@bufbuild/protobuf";
import {
  type Container,
  ContainerSchema,
  Containers,
} from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { FaultError } from "../../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { ContainerStore } from "./containers.ts";

/** The gRPC face of the containers. */
export function createContainersService({ store }: { readonly store: ContainerStore }): ServiceDefinition {
  return defineService(Containers, {
    get: (ctx, { id }) => ({ container: store.get(ctx, id) }),
    list: (ctx, { filters }) => ({ containers: [...store.list(ctx, filters)] }),
    listStream: async function* (ctx, { filters }) {
      for (const container of store.list(ctx, filters)) yield { container };
    },
    create: async (ctx, { container }) => ({ container: await store.create(ctx, given(container)) }),
    update: async (ctx, { container, updateMask }) => {
      const wanted = given(container);
      if (wanted.id === "") throw new FaultError("invalidArgument", "Container.ID required");
      return { container: await store.update(ctx, wanted, updateMask?.paths ?? []) };
    },
    delete: async (ctx, { id }) => {
      await store.delete(ctx, id);
      return {};
    },
  });
}

function given(container: Container | undefined): Container {
  return container ?? create(ContainerSchema);
}
