import type { MessageInitShape } from "@bufbuild/protobuf";
import {
  Content,
  type InfoSchema,
  type ReadContentRequest,
  type ReadContentResponseSchema,
  type StatusSchema,
} from "../../gen/containerd/services/content/v1/content_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { type Digest, digestProblem } from "../../lib/digest.ts";
import { FaultError, quote, wrapFault } from "../../lib/faults.ts";
import { labelRecord } from "../../lib/labels.ts";
import { defineService, type ServiceDefinition, type ServiceImpl } from "../../wire/service.ts";
import type { ContentInfo, ContentStore, IngestStatus } from "./content.ts";
import { writeContent } from "./write-session.ts";

/** How many infos one message of a list carries. Source: containerd contentserver.go, List. */
const listBatch = 100;

/** The gRPC face of the content store. */
export function createContentService({ store }: { readonly store: ContentStore }): ServiceDefinition {
  const impl: ServiceImpl<typeof Content> = {
    info: (ctx, { digest }) => ({ info: encodeInfo(store.info(ctx, validDigest(digest))) }),
    update: async (ctx, { info, updateMask }) => {
      const labels = new Map(Object.entries(info?.labels ?? {}));
      const updated = await store.update(
        ctx,
        { digest: validDigest(info?.digest ?? ""), labels },
        updateMask?.paths ?? [],
      );
      return { info: encodeInfo(updated) };
    },
    async *list(ctx, { filters }) {
      const infos = store.list(ctx, filters);
      for (let at = 0; at < infos.length; at += listBatch) {
        yield { info: infos.slice(at, at + listBatch).map(encodeInfo) };
      }
    },
    delete: async (ctx, { digest }) => {
      const problem = digestProblem(digest);
      if (problem !== undefined) throw new FaultError("invalidArgument", problem);
      await store.delete(ctx, digest as Digest);
      return {};
    },
    read: (ctx, request) => readContent(store, ctx, request),
    status: async (ctx, { ref }) => {
      try {
        return { status: encodeStatus(await store.status(ctx, ref)) };
      } catch (error) {
        throw wrapFault(`could not get status for ref ${quote(ref)}`, error);
      }
    },
    listStatuses: async (ctx, { filters }) => ({
      statuses: (await store.listStatuses(ctx, filters)).map(encodeStatus),
    }),
    write: (ctx, requests) => writeContent(store, ctx, requests),
    abort: async (ctx, { ref }) => {
      await store.abort(ctx, ref);
      return {};
    },
  };
  return defineService(Content, impl, { borrows: ["write"] });
}

/** Shape: offsets count from the first byte that is sent, as containerd's do, not from the blob's. */
async function* readContent(
  store: ContentStore,
  ctx: Ctx,
  request: ReadContentRequest,
): AsyncGenerator<MessageInitShape<typeof ReadContentResponseSchema>> {
  const problem = digestProblem(request.digest);
  if (problem !== undefined) throw new FaultError("invalidArgument", `${request.digest}: ${problem}`);
  let sent = 0;
  for await (const data of store.lend(ctx, request.digest as Digest, Number(request.offset), Number(request.size))) {
    yield { offset: BigInt(sent), data: data as Uint8Array<ArrayBuffer> };
    sent += data.length;
  }
}

function validDigest(text: string): Digest {
  if (digestProblem(text) === undefined) return text as Digest;
  throw new FaultError("invalidArgument", `${quote(text)} failed validation`);
}

function encodeInfo(info: ContentInfo): MessageInitShape<typeof InfoSchema> {
  return {
    digest: info.digest,
    size: BigInt(info.sizeBytes),
    createdAt: info.createdAt.toTimestamp(),
    updatedAt: info.updatedAt.toTimestamp(),
    labels: labelRecord(info.labels),
  };
}

function encodeStatus(status: IngestStatus): MessageInitShape<typeof StatusSchema> {
  return {
    ref: status.ref,
    offset: BigInt(status.offset),
    total: BigInt(status.total),
    expected: status.expected ?? "",
    startedAt: status.startedAt.toTimestamp(),
    updatedAt: status.updatedAt.toTimestamp(),
  };
}
