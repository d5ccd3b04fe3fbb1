import { create } from "@bufbuild/protobuf";
import { Transfer } from "../../gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ProgressSchema } from "../../gen/containerd/types/transfer/progress_pb.ts";
import { anyOf } from "../../wire/any.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { StreamManager } from "../streaming/index.ts";
import { decodeEndpoint } from "./endpoints.ts";
import { toWire } from "./parts.ts";
import { openProgressStream } from "./progress-stream.ts";
import type { TransferProgress, Transferrer } from "./transfer.ts";

export interface TransferServiceOptions {
  readonly transferrer: Transferrer;
  readonly streams: StreamManager;
}

/** The gRPC face of transfers. */
export function createTransferService({ transferrer, streams }: TransferServiceOptions): ServiceDefinition {
  return defineService(Transfer, {
    transfer: async (ctx, { source, destination, options }) => {
      using scope = new DisposableStack();
      const name = options?.progressStream ?? "";
      await using progress = name === "" ? undefined : openProgressStream(ctx, streams.get(ctx, name), encode);
      const from = decodeEndpoint(ctx, source, streams, scope);
      const to = decodeEndpoint(ctx, destination, streams, scope);
      ctx.step = `transfers ${source?.typeUrl} to ${destination?.typeUrl}`;
      // What was told last is how far it is.
      const tell =
        progress &&
        ((news: TransferProgress): void => {
          ctx.step = `transfers: ${news.event} ${news.name ?? ""}`.trimEnd();
          progress.tell(news);
        });
      await transferrer.transfer(ctx, from, to, tell);
      return {};
    },
  });
}

function encode({ event, name, parents, progress, total, descriptor }: TransferProgress): ReturnType<typeof anyOf> {
  return anyOf(
    ProgressSchema,
    create(ProgressSchema, {
      event,
      name: name ?? "",
      parents: [...(parents ?? [])],
      progress: BigInt(progress ?? 0),
      total: BigInt(total ?? 0),
      ...(descriptor === undefined ? {} : { desc: toWire(descriptor) }),
    }),
  );
}
