import type { DescService } from "@bufbuild/protobuf";
import { GRPC } from "../core/tokens.ts";
import { Mounts } from "../gen/containerd/services/mounts/v1/mounts_pb.ts";
import { definePlugin, type PluginDefinition } from "../plugin/index.ts";

/** Services of containerd's that have no room yet: each of their methods answers Unimplemented by its name. */
const services: Readonly<Record<string, DescService>> = {
  mounts: Mounts,
};

export const unbuiltPlugins: readonly PluginDefinition[] = Object.entries(services).map(([id, desc]) =>
  definePlugin({ type: GRPC, id, init: () => ({ grpc: [{ desc, impl: {} }] }) }),
);
