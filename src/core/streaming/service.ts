import { create } from "@bufbuild/protobuf";
import { type Any, EmptySchema } from "@bufbuild/protobuf/wkt";
import { StreamInitSchema, Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { anyOf, anyTo } from "../../wire/any.ts";
import { defineService, type ServiceDefinition, type ServiceImpl } from "../../wire/service.ts";
import { CallStream } from "./call-stream.ts";
import type { StreamManager } from "./streams.ts";

/** The gRPC face of the streams: the first message names one, the answer to it says that it is there to be used. */
export function createStreamingService({ manager }: { readonly manager: StreamManager }): ServiceDefinition {
  const impl: ServiceImpl<typeof Streaming> = { stream: (ctx, requests) => serve(manager, ctx, requests) };
  return defineService(Streaming, impl, { borrows: ["stream"] });
}

async function* serve(manager: StreamManager, ctx: Ctx, requests: AsyncIterable<Any>): AsyncGenerator<Any> {
  const incoming = requests[Symbol.asyncIterator]();
  try {
    const first = await incoming.next();
    if (first.done === true) throw new FaultError("unknown", "EOF");
    const { id } = anyTo(first.value, StreamInitSchema);
    const stream = new CallStream(ctx, incoming);
    using _registered = manager.register(ctx, id, stream);
    yield anyOf(EmptySchema, create(EmptySchema));
    yield* stream.messages();
  } finally {
    // Not waited for: whoever holds the stream may be waiting for its next message, which only the end of the call answers.
    incoming.return?.().catch((error: unknown) => ctx.log.debug("stream ended", { error: messageOf(error) }));
  }
}
