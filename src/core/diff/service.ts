import { toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { Diff } from "../../gen/containerd/services/diff/v1/diff_pb.ts";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import { notFound } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import { labelMap } from "../../lib/labels.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import { decodeMounts } from "../mounts/index.ts";
import type { Differ, LayerDescriptor } from "./differ.ts";

/** The gRPC face of the differ. */
export function createDiffService({ differ }: { readonly differ: Differ }): ServiceDefinition {
  return defineService(Diff, {
    apply: async (ctx, { diff, mounts, syncFs, payloads }) => {
      const digest = diff?.digest ?? "";
      // Nothing is stored by a digest that is none; containerd does not look closer either.
      if (digestProblem(digest) !== undefined) {
        throw notFound(`failed to get reader from content store: content digest ${digest}`);
      }
      const layer = { mediaType: diff?.mediaType ?? "", digest: digest as Digest, sizeBytes: Number(diff?.size ?? 0n) };
      ctx.step = `waits for the worker that applies ${digest}`;
      return {
        applied: encode(
          await differ.apply(ctx, layer, decodeMounts(mounts), { syncFs, payloads: encodedPayloads(payloads) }),
        ),
      };
    },
    diff: async (ctx, { left, right, mediaType, ref, labels, sourceDateEpoch }) => {
      ctx.step = "waits for the worker that compares";
      const layer = await differ.compare(ctx, decodeMounts(left), decodeMounts(right), {
        mediaType: mediaType === "" ? undefined : mediaType,
        ref: ref === "" ? undefined : ref,
        labels: labelMap(labels),
        sourceDate: sourceDateEpoch === undefined ? undefined : Instant.of(sourceDateEpoch),
      });
      return { diff: encode(layer) };
    },
  });
}

/** Each payload in its envelope, as the programs are handed them. */
function encodedPayloads(payloads: Readonly<Record<string, Any>>): ReadonlyMap<string, Uint8Array> {
  return new Map(Object.entries(payloads).map(([id, payload]) => [id, toBinary(AnySchema, payload)]));
}

function encode({ mediaType, digest, sizeBytes }: LayerDescriptor): {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: bigint;
} {
  return { mediaType, digest, size: BigInt(sizeBytes) };
}
