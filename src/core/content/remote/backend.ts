import type { Content, Status } from "../../../gen/containerd/services/content/v1/content_pb.ts";
import type { Digest } from "../../../lib/digest.ts";
import { fault, isFault } from "../../../lib/faults.ts";
import { Instant } from "../../../lib/instant.ts";
import type { CallOptions, ServiceClient } from "../../../wire/service.ts";
import type { IngestStatus } from "../content.ts";
import { BackendWrite } from "./backend-write.ts";

export type BackendCall = Pick<CallOptions, "namespace" | "signal">;

/** The bytes that another process keeps. It knows digests and refs, no namespaces. Any call may fail with what it answers, or with unavailable. */
export interface ContentBackend {
  /** The size of a blob; undefined when it has none of that digest. */
  find(call: BackendCall, digest: Digest): Promise<number | undefined>;
  /** Shape: `length` is more than 0. Errors: dataLoss (fewer bytes came). */
  read(call: BackendCall, digest: Digest, offset: number, length: number): AsyncIterable<Uint8Array>;
  /** Removes a blob; one that is not there is fine. */
  delete(call: BackendCall, digest: Digest): Promise<void>;
  /** Errors: notFound. */
  status(call: BackendCall, ref: string): Promise<IngestStatus>;
  /** Removes an ingest; one that is not there is fine. */
  abort(call: BackendCall, ref: string): Promise<void>;
  /** Begins or goes on with an ingest, which is locked there until the answer is disposed of. */
  write(call: BackendCall, ref: string, total: number): Promise<BackendWrite>;
}

/**
 * Speaks to it as containerd does, by the public content service.
 * Source: containerd core/content/proxy/content_store.go.
 */
export function createContentBackend(connect: () => Promise<ServiceClient<typeof Content>>): ContentBackend {
  return {
    find: async (call, digest) => {
      try {
        const { info } = await (await connect()).info({ digest }, call);
        return Number(info?.size ?? 0n);
      } catch (error) {
        if (isFault(error, "notFound")) return undefined;
        throw error;
      }
    },
    read: (call, digest, offset, length) => readThere(connect, call, digest, offset, length),
    delete: (call, digest) => unlessMissing(async () => (await connect()).delete({ digest }, call)),
    status: async (call, ref) => {
      const { status } = await (await connect()).status({ ref }, call);
      if (status === undefined) throw fault("internal", `no status came for ref ${ref}`);
      return statusOf(status);
    },
    abort: (call, ref) => unlessMissing(async () => (await connect()).abort({ ref }, call)),
    write: async (call, ref, total) => BackendWrite.open(await connect(), call, ref, total),
  };
}

async function unlessMissing(action: () => Promise<unknown>): Promise<void> {
  try {
    await action();
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}

async function* readThere(
  connect: () => Promise<ServiceClient<typeof Content>>,
  call: BackendCall,
  digest: Digest,
  offset: number,
  length: number,
): AsyncGenerator<Uint8Array> {
  let left = length;
  const request = { digest, offset: BigInt(offset), size: BigInt(length) };
  for await (const { data } of (await connect()).read(request, call)) {
    // More than was asked for is none of the reader's.
    const piece = data.length > left ? data.subarray(0, left) : data;
    if (piece.length > 0) yield piece;
    left -= piece.length;
  }
  if (left > 0) throw fault("dataLoss", `blob ${digest} ends at ${offset + length - left} bytes`);
}

function statusOf(status: Status): IngestStatus {
  const { ref, offset, total, expected, startedAt, updatedAt } = status;
  return {
    ref,
    offset: Number(offset),
    total: Number(total),
    expected: expected === "" ? undefined : (expected as Digest),
    startedAt: startedAt === undefined ? Instant.ofMs(0) : Instant.of(startedAt),
    updatedAt: updatedAt === undefined ? Instant.ofMs(0) : Instant.of(updatedAt),
  };
}
