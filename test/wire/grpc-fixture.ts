import { readdirSync, readFileSync } from "node:fs";
import { create } from "@bufbuild/protobuf";
import { TimestampSchema } from "@bufbuild/protobuf/wkt";
import { Content, WriteAction } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { createKernel, type Kernel } from "../../src/sys/index.ts";
import { createGrpcServer } from "../../src/wire/grpc/index.ts";
import { createLookout } from "../../src/wire/http2/index.ts";
import { defineService } from "../../src/wire/service.ts";

/**
 * A gRPC server with services that do next to nothing, so that what a test sees is the wire. In a process of its own,
 * so that its memory is its own. Arguments: socket, number of events, bytes an event. Events come as made; Version
 * tells what the process holds.
 */
const [path = "", eventCount = "0", eventSize = "0"] = process.argv.slice(2);
const blobSize = 64 * 1024 * 1024;
const blob = new Uint8Array(1024 * 1024);
const timestamp = create(TimestampSchema, { seconds: 1n });

/** `caught`: reads with which the lookout found a call. */
const held = { made: 0, open: 0, aborted: 0, caught: 0 };
const real = createKernel();
const kernel: Pick<Kernel, "receiveNow" | "yieldProcessor"> = {
  yieldProcessor: () => real.yieldProcessor(),
  receiveNow: (fd, into) => {
    const count = real.receiveNow(fd, into);
    if (count !== undefined && count > 0) held.caught++;
    return count;
  },
};

const version = defineService(Version, {
  version: async (ctx) => {
    if (ctx.metadata.get("x-hang") !== undefined) {
      held.open++;
      await new Promise<void>((resolve) => ctx.signal.addEventListener("abort", () => resolve()));
      held.open--;
      held.aborted++;
    }
    if (ctx.metadata.get("x-gc") !== undefined) Bun.gc(true);
    return { version: JSON.stringify({ ...held, ...footprint() }) };
  },
});

const events = defineService(Events, {
  async *subscribe() {
    held.open++;
    try {
      for (let i = 0; i < Number(eventCount); i++) {
        held.made++;
        const event = { typeUrl: "test.Event", value: new Uint8Array(Number(eventSize)) };
        yield { timestamp, namespace: "default", topic: "/test", event };
      }
    } finally {
      held.open--;
    }
  },
});

const content = defineService(Content, {
  info: ({ namespace }, { digest }) => ({ info: { digest, size: BigInt(blobSize), labels: { ns: namespace ?? "" } } }),
  // Messages of at most 1 MiB, as containerd cuts them.
  async *read(_ctx, { offset, size }) {
    const end = size > 0n ? Number(offset + size) : blobSize;
    for (let at = Number(offset); at < end; at += blob.length) {
      yield { offset: BigInt(at), data: blob.subarray(0, Math.min(blob.length, end - at)) };
    }
  },
  async *write(_ctx, requests) {
    let offset = 0n;
    for await (const { action, data, expected, total } of requests) {
      offset += BigInt(data.length);
      const times = { startedAt: timestamp, updatedAt: timestamp };
      yield { action, offset, total, ...times, digest: action === WriteAction.COMMIT ? expected : "" };
    }
  },
});

function footprint(): { rssKib: number; descriptors: number } {
  const status = readFileSync("/proc/self/status", "utf8");
  const rssKib = Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]);
  return { rssKib, descriptors: readdirSync("/proc/self/fd").length };
}

const server = createGrpcServer({ services: [version, events, content], lookout: createLookout(kernel) });
await server.listen({ path });
console.log("ready");
process.on("SIGTERM", () => {
  void server.close(1000).then(() => process.exit(0));
});
