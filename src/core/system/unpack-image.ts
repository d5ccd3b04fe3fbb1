import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Descriptor as WireDescriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { UnpackRequest, UnpackResponseSchema } from "../../gen/lighter/system/v1/system_pb.ts";
import { type Ctx, withSignal } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import { type Digest, parseDigest } from "../../lib/digest.ts";
import { fault, invalidArgument } from "../../lib/faults.ts";
import type { ImageUnpacker } from "./system.ts";

type Step = MessageInitShape<typeof UnpackResponseSchema>;

/** Unpacks what a request names, and tells of the layers as they come along. Effects: a client that leaves ends it. */
export async function* unpackImage(
  ctx: Ctx,
  unpacker: ImageUnpacker,
  { config, layers, snapshotter }: UnpackRequest,
): AsyncGenerator<Step> {
  if (config === undefined) throw invalidArgument("an image without a config");
  const image = { config: descriptorOf(config), layers: layers.map(descriptorOf) };
  const left = new AbortController();
  const news = new News();
  const unpacking = unpacker
    .unpack(withSignal(ctx, AbortSignal.any([ctx.signal, left.signal])), image, snapshotter, {
      extracting: ({ digest }, offset) => news.tell({ layer: digest, offset: BigInt(offset) }),
      extracted: ({ digest, sizeBytes }) => news.tell({ layer: digest, offset: BigInt(sizeBytes), done: true }),
    })
    .finally(() => news.end());
  try {
    yield* news.all();
    await unpacking;
  } finally {
    left.abort(fault("canceled", "nobody waits for the unpacking any more"));
    // Its failure was thrown above, or nobody is there to hear of it.
    await unpacking.catch(() => {});
  }
}

/** What is newest of each layer, for a reader that may be slow: no more is kept than there are layers. */
class News {
  readonly #steps = new Map<string, Step>();
  #wake: (() => void) | undefined;
  #ended = false;

  tell(step: Step & { readonly layer: Digest }): void {
    this.#steps.set(step.layer, step);
    this.#wake?.();
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async *all(): AsyncGenerator<Step> {
    for (;;) {
      const steps = [...this.#steps.values()];
      this.#steps.clear();
      yield* steps;
      if (this.#steps.size > 0) continue;
      if (this.#ended) return;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }
}

/** Errors: invalidArgument. */
function descriptorOf({ mediaType, digest, size }: WireDescriptor): Descriptor {
  return { mediaType, digest: parseDigest(digest), sizeBytes: Number(size) };
}
