import type { MessageInitShape } from "@bufbuild/protobuf";
import { Layers, type RepackRequest, type RepackResponseSchema } from "../../gen/lighter/layers/v1/layers_pb.ts";
import { BoundedQueue } from "../../lib/bounded-queue.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { parseDigest } from "../../lib/digest.ts";
import { invalidArgument } from "../../lib/faults.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { LayerRepacker } from "./layer-repacker.ts";

type Answer = MessageInitShape<typeof RepackResponseSchema>;

/** Of steps that nobody takes, and the end. */
const maxWaiting = 8;

/** lighter.layers.v1.Layers over the daemon's workers. */
export function createLayersService({ repacker }: { readonly repacker: LayerRepacker }): ServiceDefinition {
  return defineService(Layers, { repack: (ctx, request) => repack(ctx, repacker, request) });
}

async function* repack(ctx: Ctx, repacker: LayerRepacker, request: RepackRequest): AsyncGenerator<Answer> {
  const { layer, mediaType, diffId } = request;
  if (layer === undefined) throw invalidArgument("a layer is needed");
  const source = { mediaType: layer.mediaType, digest: parseDigest(layer.digest), sizeBytes: Number(layer.size) };
  const steps = new BoundedQueue<number>({ maxItems: maxWaiting, maxBytes: Number.POSITIVE_INFINITY });
  const work = repacker.repack(ctx, source, {
    mediaType,
    diffId: diffId === "" ? undefined : parseDigest(diffId),
    // What does not fit is told by the next.
    onOffset: (offset) => void steps.push(offset, 0),
  });
  const ended = work.then(
    () => steps.close(),
    () => steps.close(),
  );
  try {
    for await (const offset of steps) yield { offset: BigInt(offset) };
    const made = await work;
    const { digest, sizeBytes } = made;
    yield { offset: layer.size, layer: { ...layer, mediaType, digest, size: BigInt(sizeBytes) } };
  } finally {
    // Whoever goes away waits for what that ends.
    await ended;
  }
}
