import type { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import { parseDigest } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import type { ServiceClient } from "../../wire/service.ts";
import type { Differ, LayerDescriptor } from "../diff/index.ts";
import { encodeMounts } from "../mounts/index.ts";

/** A differ that another process serves by containerd's own API. Source: containerd core/diff/proxy/differ.go. */
export function createProxyDiffer(connect: () => Promise<ServiceClient<typeof Diff>>): Differ {
  return {
    apply: async (ctx, layer, mounts, options = {}) => {
      const diff = { mediaType: layer.mediaType, digest: layer.digest, size: BigInt(layer.sizeBytes) };
      const request = { diff, mounts: encodeMounts(mounts), syncFs: options.syncFs ?? false };
      return layerOf((await (await connect()).apply(request, callOf(ctx))).applied);
    },
    compare: async (ctx, lower, upper, options = {}) => {
      const { mediaType = "", ref = "", labels = new Map<string, string>(), sourceDate } = options;
      const request = {
        left: encodeMounts(lower),
        right: encodeMounts(upper),
        mediaType,
        ref,
        labels: Object.fromEntries(labels),
        ...(sourceDate === undefined ? {} : { sourceDateEpoch: sourceDate.toTimestamp() }),
      };
      return layerOf((await (await connect()).diff(request, callOf(ctx))).diff);
    },
  };
}

type Call = Parameters<Differ["apply"]>[0];

function callOf({ namespace, lease, signal }: Call): Pick<Call, "namespace" | "lease" | "signal"> {
  return { namespace, lease, signal };
}

function layerOf(descriptor: Descriptor | undefined): LayerDescriptor {
  if (descriptor === undefined) throw fault("internal", "the differ answered without a descriptor");
  const { mediaType, digest, size } = descriptor;
  return { mediaType, digest: parseDigest(digest), sizeBytes: Number(size) };
}
