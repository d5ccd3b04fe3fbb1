import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { availableParallelism } from "node:os";
import type { Socket } from "bun";
import { Content } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import { waitFor } from "../support/index.ts";
import { type Fixture, startFixture } from "./fixture.ts";

const mib = 1024;

/** Bytes of an HTTP/2 client that opens windows wide, asks for all events, and is of no further use. */
function greedyClient(streams: number): Buffer {
  const frame = (type: number, flags: number, id: number, payload: Uint8Array): Buffer => {
    const head = Buffer.alloc(9);
    head.writeUIntBE(payload.length, 0, 3);
    head[3] = type;
    head[4] = flags;
    head.writeUInt32BE(id, 5);
    return Buffer.concat([head, payload]);
  };
  const literal = (name: string, value: string): Buffer =>
    Buffer.concat([Buffer.of(0, name.length), Buffer.from(name), Buffer.of(value.length), Buffer.from(value)]);
  const block = Buffer.concat([
    literal(":method", "POST"),
    literal(":scheme", "http"),
    literal(":path", "/containerd.services.events.v1.Events/Subscribe"),
    literal("content-type", "application/grpc"),
  ]);
  const requests = Array.from({ length: streams }, (_, i) => [
    frame(1, 4, i * 2 + 1, block),
    frame(0, 1, i * 2 + 1, Buffer.alloc(5)),
  ]);
  return Buffer.concat([
    Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    frame(4, 0, 0, Buffer.of(0, 4, 0x7f, 0xff, 0xff, 0xff)),
    frame(8, 0, 0, Buffer.of(0x7f, 0xff, 0, 0)),
    ...requests.flat(),
  ]);
}

describe("a client that asks for much and reads nothing", () => {
  test("is held back, and the server's memory stays bounded", async () => {
    await using fixture = await startFixture(10_000, 1_000_000);
    const before = await fixture.held();
    const opened = Promise.withResolvers<Socket>();
    const greedy = await Bun.connect({
      unix: fixture.path,
      socket: {
        open: (socket) => {
          socket.write(greedyClient(20));
          socket.pause();
          opened.resolve(socket);
        },
        data: () => {},
      },
    });
    const started = await waitFor("all streams to start", async () => {
      const held = await fixture.held();
      return held.open === 20 && held;
    });
    let last = started.made;
    await waitFor("the producers to stand still", async () => {
      const { made } = await fixture.held();
      const still = made === last;
      last = made;
      return still;
    });
    const after = await fixture.held();
    expect(after.made).toBeLessThan(20 * 3);
    expect(after.rssKib - before.rssKib).toBeLessThan(100 * mib);
    greedy.terminate();
    await waitFor("the streams to end", async () => (await fixture.held()).open === 0);
  }, 30_000);
});

describe.skipIf(availableParallelism() < 2)("a client that calls in a loop", () => {
  test("is looked out for, and others are served meanwhile", async () => {
    await using fixture = await startFixture(2000, 1000);
    await using caller = await fixture.connect();
    await using other = await fixture.connect();
    const client = caller.client(Version);
    await waitFor("a call to be caught", async () => {
      for (let n = 0; n < 500; n++) await client.version({});
      const { version } = await client.version({});
      return (JSON.parse(version) as { caught: number }).caught > 0;
    });
    // While it goes on, a stream of another client comes whole.
    let seen = 0;
    let calls = 0;
    const stream = (async () => {
      for await (const _event of other.client(Events).subscribe({})) seen++;
    })();
    for (let over = false; !over; calls++) {
      await client.version({});
      over = seen === 2000;
    }
    await stream;
    expect(calls).toBeGreaterThan(0);
  }, 60_000);
});

describe("a server after tens of thousands of calls", () => {
  let fixture: Fixture;
  let connection: ClientConnection;

  beforeAll(async () => {
    fixture = await startFixture(50, 10_000);
    connection = await fixture.connect();
  });
  afterAll(async () => {
    await connection[Symbol.asyncDispose]();
    await fixture[Symbol.asyncDispose]();
  });

  const inFlight = async (count: number, calls: () => Promise<unknown>): Promise<void> => {
    let left = count;
    const worker = async (): Promise<void> => {
      while (left-- > 0) await calls();
    };
    await Promise.all(Array.from({ length: 32 }, worker));
  };

  test("holds no more than before", async () => {
    const client = connection.client(Version);
    // Deadlines far away leave something behind, if anything does.
    const call = (): Promise<unknown> => client.version({}, { timeoutMs: 3_600_000 });
    await inFlight(10_000, call);
    const before = await fixture.held();
    await inFlight(30_000, call);
    const after = await fixture.held();
    expect(after.rssKib - before.rssKib).toBeLessThan(16 * mib);
    expect(after.descriptors).toBe(before.descriptors);
  }, 60_000);

  test("has let go of what was canceled, timed out or left early", async () => {
    const client = connection.client(Version);
    const before = await fixture.held();
    const hang = new Map([["x-hang", "1"]]);
    await inFlight(500, () => client.version({}, { metadata: hang, timeoutMs: 5 }).catch(() => {}));
    await inFlight(500, async () => {
      const controller = new AbortController();
      const call = client.version({}, { metadata: hang, signal: controller.signal }).catch(() => {});
      setTimeout(() => controller.abort(), 1);
      await call;
    });
    await inFlight(200, async () => {
      for await (const _event of connection.client(Events).subscribe({})) break;
    });
    const after = await waitFor("all work to end", async () => {
      const held = await fixture.held();
      return held.open === 0 && held;
    });
    expect(after.aborted - before.aborted).toBeGreaterThan(900);
    expect(after.descriptors).toBe(before.descriptors);
  }, 60_000);

  test("closes what its clients left open", async () => {
    const before = await fixture.held();
    await inFlight(200, async () => {
      const other = await fixture.connect();
      await other.client(Version).version({});
      await other[Symbol.asyncDispose]();
    });
    const after = await waitFor("descriptors to be closed", async () => {
      const held = await fixture.held();
      return held.descriptors <= before.descriptors && held;
    });
    expect(after.rssKib - before.rssKib).toBeLessThan(32 * mib);
  }, 60_000);

  test("streams hundreds of megabytes both ways within a small memory", async () => {
    const content = connection.client(Content);
    const before = await fixture.held();
    let read = 0;
    for (let i = 0; i < 4; i++) for await (const { data } of content.read({ digest: "x" })) read += data.length;
    expect(read).toBe(4 * 64 * 1024 * 1024);
    async function* writes() {
      for (let i = 0; i < 256; i++) yield { data: new Uint8Array(1024 * 1024) };
    }
    let written = 0n;
    for await (const { offset } of content.write(writes())) written = offset;
    expect(written).toBe(256n * 1024n * 1024n);
    expect((await fixture.held()).rssKib - before.rssKib).toBeLessThan(100 * mib);
  }, 60_000);
});
