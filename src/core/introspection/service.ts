import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Introspection as IntrospectionDesc,
  type PluginSchema,
} from "../../gen/containerd/services/introspection/v1/introspection_pb.ts";
import type { PluginRecord } from "../../plugin/index.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import { statusOf } from "../../wire/status.ts";
import type { Introspection } from "./introspection.ts";

/** Serves Introspection. */
export function createIntrospectionService({
  introspection,
}: {
  readonly introspection: Introspection;
}): ServiceDefinition {
  return defineService(IntrospectionDesc, {
    plugins: (_ctx, request) => ({ plugins: introspection.plugins(request.filters).map(encode) }),
    server: async () => {
      const { uuid, pid, pidNamespace } = await introspection.server();
      const deprecations = introspection.deprecations().map(({ id, message, lastOccurrence }) => ({
        id,
        message,
        lastOccurrence: lastOccurrence.toTimestamp(),
      }));
      return { uuid, pid: BigInt(pid), pidns: pidNamespace, deprecations };
    },
    pluginInfo: async (ctx, request) => {
      const info = await introspection.pluginInfo(ctx, request.type, request.id, request.options);
      return { plugin: encode(info.plugin), ...(info.extra === undefined ? {} : { extra: info.extra }) };
    },
  });
}

function encode({ type, id, requires, meta, failure }: PluginRecord): MessageInitShape<typeof PluginSchema> {
  return {
    type,
    id,
    requires: [...requires],
    platforms: meta.platforms.map(({ os, architecture, variant }) => ({ os, architecture, variant })),
    exports: Object.fromEntries(meta.exports),
    capabilities: [...meta.capabilities],
    ...(failure === undefined ? {} : { initErr: statusOf(failure.error) }),
  };
}
