import { create } from "@bufbuild/protobuf";
import { Store } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { type Sandbox, SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { SandboxStore } from "./sandboxes.ts";

/** The gRPC face of the sandboxes' records. */
export function createSandboxStoreService({ store }: { readonly store: SandboxStore }): ServiceDefinition {
  return defineService(Store, {
    create: async (ctx, { sandbox }) => ({ sandbox: await store.create(ctx, given(sandbox)) }),
    update: async (ctx, { sandbox, fields }) => ({ sandbox: await store.update(ctx, given(sandbox), fields) }),
    delete: async (ctx, { sandboxId }) => {
      await store.delete(ctx, sandboxId);
      return {};
    },
    list: (ctx, { filters }) => ({ list: [...store.list(ctx, filters)] }),
    get: (ctx, { sandboxId }) => ({ sandbox: store.get(ctx, sandboxId) }),
  });
}

function given(sandbox: Sandbox | undefined): Sandbox {
  return sandbox ?? create(SandboxSchema);
}
