import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  type Namespace,
  type NamespaceSchema,
  Namespaces,
} from "../../gen/containerd/services/namespaces/v1/namespace_pb.ts";
import { labelRecord } from "../../lib/labels.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { NamespaceInfo, NamespaceStore } from "./namespaces.ts";

/** The gRPC face of the namespaces. */
export function createNamespacesService({ store }: { readonly store: NamespaceStore }): ServiceDefinition {
  return defineService(Namespaces, {
    get: (_ctx, { name }) => ({ namespace: encode({ name, labels: store.labels(name) }) }),
    list: () => ({ namespaces: store.list().map(encode) }),
    create: async (ctx, { namespace }) => ({ namespace: encode(await store.create(ctx, decode(namespace))) }),
    // containerd leaves the message empty, and so must its equals.
    update: async (ctx, { namespace, updateMask }) => {
      await store.update(ctx, decode(namespace), updateMask?.paths ?? []);
      return {};
    },
    delete: async (ctx, { name }) => {
      await store.delete(ctx, name);
      return {};
    },
  });
}

function decode(namespace: Namespace | undefined): NamespaceInfo {
  return { name: namespace?.name ?? "", labels: new Map(Object.entries(namespace?.labels ?? {})) };
}

function encode({ name, labels }: NamespaceInfo): MessageInitShape<typeof NamespaceSchema> {
  return { name, labels: labelRecord(labels) };
}
