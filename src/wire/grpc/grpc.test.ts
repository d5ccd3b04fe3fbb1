import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { Content, WriteAction } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { Streaming } from "../../gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, notFound } from "../../lib/faults.ts";
import { createLogger } from "../../lib/log.ts";
import { connectHttp2, defaultLimits, type HeaderBlock, headerValue } from "../http2/index.ts";
import { type ClientConnection, defineService } from "../service.ts";
import { connectGrpc, createGrpcServer, type GrpcServer } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-grpc-"));
const path = join(folder, "sock");
const logged: string[] = [];
const log = createLogger({ level: "debug", format: "text", write: (line) => logged.push(line) });

/** What the service under test does; each test sets its own. */
let version: (ctx: Ctx) => unknown = () => ({ version: "1" });
let subscribe: (ctx: Ctx) => AsyncIterable<{ topic: string; event?: { typeUrl: string; value: Uint8Array } }> =
  noEvents;
async function* noEvents(): AsyncGenerator<never> {}

const services = [
  defineService(Version, { version: (ctx) => version(ctx) as { version: string } }),
  defineService(Events, {
    subscribe: (ctx) => subscribe(ctx),
    publish: () => ({}),
  }),
  defineService(Content, {
    info: () => ({}),
    // Answers every message with how long its data was.
    async *write(_ctx, requests) {
      for await (const request of requests) yield { action: WriteAction.WRITE, offset: BigInt(request.data.length) };
    },
  }),
  defineService(Streaming, {
    async *stream(_ctx, requests) {
      for await (const _request of requests) throw notFound('stream "x"');
      yield { typeUrl: "never", value: new Uint8Array() };
    },
  }),
];

let server: GrpcServer;
let connection: ClientConnection;

beforeAll(async () => {
  server = createGrpcServer({ services, log });
  await server.listen({ path });
  connection = await connectGrpc({ path });
});

afterAll(async () => {
  await connection[Symbol.asyncDispose]();
  await server.close(0);
  rmSync(folder, { recursive: true });
});

async function faultOfCall(call: Promise<unknown>): Promise<string> {
  const error: unknown = await call.catch((caught: unknown) => caught);
  return error instanceof FaultError ? `${error.kind}: ${error.message}` : `no fault: ${JSON.stringify(error)}`;
}

/** A call made header by header, for what no decent client sends. */
async function rawCall(fields: readonly string[], body: Uint8Array): Promise<HeaderBlock> {
  const answer = Promise.withResolvers<HeaderBlock>();
  const client = await connectHttp2({ path }, { limits: defaultLimits, onClosed: () => {} });
  const stream = client.open(fields, {
    onHeaders: () => {},
    onData: () => {},
    onTrailers: answer.resolve,
    onReset: (code) => answer.reject(new Error(`reset ${code}`)),
    onWritable: () => {},
  });
  stream.sendData(body);
  stream.end();
  return answer.promise.finally(() => client.terminate());
}

const requestFields = (overrides: Readonly<Record<string, string>> = {}): string[] =>
  Object.entries({
    ":method": "POST",
    ":scheme": "http",
    ":path": "/containerd.services.version.v1.Version/Version",
    "content-type": "application/grpc",
    ...overrides,
  }).flat();
const emptyMessage = Buffer.alloc(5);

describe("unary calls", () => {
  test("answer what the implementation returns, now or later", async () => {
    const client = connection.client(Version);
    version = () => ({ version: "now" });
    expect((await client.version({})).version).toBe("now");
    version = async () => ({ version: "later" });
    expect((await client.version({})).version).toBe("later");
  });

  test("carry namespace, lease and metadata into the context", async () => {
    let seen: unknown;
    version = (ctx) => {
      seen = [ctx.namespace, ctx.lease, ctx.metadata.get("x-trace"), ctx.metadata.has("grpc-timeout"), ctx.aborted];
      return {};
    };
    const client = connection.client(Version, { namespace: "default" });
    await client.version({}, { lease: "l1", metadata: new Map([["X-Trace", "t1"]]), timeoutMs: 5000 });
    expect(seen).toEqual(["default", "l1", "t1", false, false]);
    await client.version({});
    expect(seen).toEqual(["default", undefined, undefined, false, false]);
  });

  test.each([
    ["a fault", () => Promise.reject(notFound('container "ü%"')), 'notFound: container "ü%": not found'],
    [
      "a fault that is thrown at once",
      () => {
        throw notFound("x\ny");
      },
      "notFound: x\ny: not found",
    ],
    ["anything else", () => Promise.reject(new TypeError("oops")), "unknown: oops"],
    [
      "a value",
      () => {
        throw "text";
      },
      "unknown: text",
    ],
  ])("answer %s", async (_name, behave, want) => {
    version = behave;
    expect(await faultOfCall(connection.client(Version).version({}))).toBe(want);
  });

  test("log what is not a fault with its stack, and live on", async () => {
    logged.length = 0;
    version = () => {
      throw new TypeError("a bug");
    };
    await faultOfCall(connection.client(Version).version({}));
    expect(logged.join("")).toContain("grpc.test.ts");
    version = () => ({ version: "alive" });
    expect((await connection.client(Version).version({})).version).toBe("alive");
  });

  test("that are not there answer Unimplemented, each in its own words", async () => {
    expect(await faultOfCall(connection.client(Content).status({}))).toBe(
      "notImplemented: method Status not implemented",
    );
    const unknownService = await rawCall(requestFields({ ":path": "/no.such.Service/Call" }), emptyMessage);
    expect(headerValue(unknownService.fields, "grpc-message")).toBe("unknown service no.such.Service");
    const unknownMethod = await rawCall(
      requestFields({ ":path": "/containerd.services.version.v1.Version/Nope" }),
      emptyMessage,
    );
    expect(headerValue(unknownMethod.fields, "grpc-message")).toBe(
      "unknown method Nope for service containerd.services.version.v1.Version",
    );
  });

  test.each([
    ["a wrong content-type", { "content-type": "application/json" }, "415", "3"],
    ["another method", { ":method": "GET" }, "405", "13"],
    ["a malformed timeout", { "grpc-timeout": "1x" }, "400", "13"],
    ["an unknown encoding", { "grpc-encoding": "snappy" }, "200", "12"],
  ])("with %s are refused", async (_name, overrides, httpStatus, code) => {
    const { fields } = await rawCall(requestFields(overrides as Record<string, string>), emptyMessage);
    expect([headerValue(fields, ":status"), headerValue(fields, "grpc-status")]).toEqual([httpStatus, code]);
  });

  test.each([
    ["nothing", Buffer.alloc(0)],
    ["half a message", Buffer.of(0, 0, 0, 0, 9, 1)],
    ["two messages", Buffer.alloc(10)],
    ["an unknown flag", Buffer.of(2, 0, 0, 0, 0)],
    ["bytes that are no message", Buffer.of(0, 0, 0, 0, 1, 0xff)],
  ])("with %s as request answer Internal", async (_name, body) => {
    const { fields } = await rawCall(requestFields(), body);
    expect(headerValue(fields, "grpc-status")).toBe("13");
  });

  test("take gzip requests, and unpack no more than is allowed", async () => {
    version = () => ({});
    const send = async (plain: Uint8Array): Promise<HeaderBlock> => {
      const packed = gzipSync(plain);
      const prefix = Buffer.of(1, 0, 0, 0, 0);
      prefix.writeUInt32BE(packed.length, 1);
      return rawCall(requestFields({ "grpc-encoding": "gzip" }), Buffer.concat([prefix, packed]));
    };
    expect(headerValue((await send(Buffer.alloc(0))).fields, "grpc-status")).toBe("0");
    const bomb = await send(Buffer.alloc(20 * 1024 * 1024));
    expect(headerValue(bomb.fields, "grpc-status")).toBe("8");
  });

  test("larger than 16 MiB are refused with grpc-go's words", async () => {
    const events = connection.client(Events);
    const value = new Uint8Array(17 * 1024 * 1024);
    const fault = await faultOfCall(events.publish({ topic: "/x", event: { typeUrl: "x", value } }));
    expect(fault).toMatch(/^resourceExhausted: grpc: received message larger than max \(178\d+ vs\. 16777216\)$/);
    const fits = new Uint8Array(16 * 1024 * 1024 - 100);
    await events.publish({ topic: "/x", event: { typeUrl: "x", value: fits } });
  });
});

describe("deadlines and cancellation", () => {
  /** Waits for the signal and tells its reason. */
  const hang = (): { implementation: (ctx: Ctx) => Promise<never>; reason: Promise<unknown> } => {
    const { promise, resolve } = Promise.withResolvers<unknown>();
    return {
      reason: promise,
      implementation: (ctx) =>
        new Promise((_resolve, reject) => {
          ctx.signal.addEventListener("abort", () => {
            resolve(ctx.signal.reason);
            reject(ctx.signal.reason as Error);
          });
        }),
    };
  };

  test("a deadline reaches the work and the caller", async () => {
    const { implementation, reason } = hang();
    version = implementation;
    const fields = requestFields({ "grpc-timeout": "50m" });
    const started = performance.now();
    const { fields: trailers } = await rawCall(fields, emptyMessage);
    expect(performance.now() - started).toBeGreaterThanOrEqual(49);
    expect(headerValue(trailers, "grpc-status")).toBe("4");
    expect(await reason).toMatchObject({ kind: "deadlineExceeded", message: "context deadline exceeded" });
  });

  test("a deadline that has passed spares the work", async () => {
    let ran = false;
    version = () => {
      ran = true;
      return {};
    };
    const { fields } = await rawCall(requestFields({ "grpc-timeout": "0n" }), emptyMessage);
    expect(headerValue(fields, "grpc-status")).toBe("4");
    expect(ran).toBe(false);
  });

  test("the client's own deadline ends its call", async () => {
    version = () => new Promise(() => {});
    const call = connection.client(Version).version({}, { timeoutMs: 30 });
    expect(await faultOfCall(call)).toBe("deadlineExceeded: context deadline exceeded");
  });

  test("a caller that cancels is canceled here", async () => {
    const { implementation, reason } = hang();
    version = implementation;
    const controller = new AbortController();
    const call = faultOfCall(connection.client(Version).version({}, { signal: controller.signal }));
    await Bun.sleep(5);
    controller.abort();
    expect(await call).toBe("canceled: context canceled");
    expect(await reason).toMatchObject({ kind: "canceled", message: "context canceled" });
  });

  test("a caller that is gone is canceled here", async () => {
    const { implementation, reason } = hang();
    const entered = Promise.withResolvers<void>();
    version = (ctx) => {
      entered.resolve();
      return implementation(ctx);
    };
    const other = await connectGrpc({ path });
    const call = faultOfCall(other.client(Version).version({}));
    await entered.promise;
    await other[Symbol.asyncDispose]();
    expect(await reason).toMatchObject({ kind: "canceled" });
    expect(await call).toStartWith("unavailable: ");
    expect(await faultOfCall(other.client(Version).version({}))).toBe("unavailable: the connection is closed");
  });

  test("a signal asked for late has fired already", async () => {
    const seen = Promise.withResolvers<boolean>();
    version = async (ctx) => {
      while (!ctx.aborted) await Bun.sleep(1);
      seen.resolve(ctx.signal.aborted);
      return {};
    };
    await faultOfCall(connection.client(Version).version({}, { timeoutMs: 20 }));
    expect(await seen.promise).toBe(true);
  });
});

describe("streams of answers", () => {
  const event = (size: number): { topic: string; event: { typeUrl: string; value: Uint8Array } } => ({
    topic: "/x",
    event: { typeUrl: "x", value: new Uint8Array(size) },
  });

  test("bring every message in order, large ones too", async () => {
    subscribe = async function* () {
      for (let i = 0; i < 40; i++) yield { ...event(i % 2 === 0 ? 10 : 1_500_000), topic: `/${i}` };
    };
    const topics: string[] = [];
    for await (const { topic } of connection.client(Events).subscribe({})) topics.push(topic);
    expect(topics).toEqual(Array.from({ length: 40 }, (_, i) => `/${i}`));
  });

  test("end with the fault that ended them, after what came before", async () => {
    subscribe = async function* () {
      yield event(1);
      throw notFound("x");
    };
    const seen: string[] = [];
    const read = async (): Promise<void> => {
      for await (const { topic } of connection.client(Events).subscribe({})) seen.push(topic);
    };
    expect(await faultOfCall(read())).toBe("notFound: x: not found");
    expect(seen).toEqual(["/x"]);
  });

  test("hold the producer back while nobody reads, and let it clean up when the reader leaves", async () => {
    let made = 0;
    const cleaned = Promise.withResolvers<boolean>();
    subscribe = async function* (ctx) {
      try {
        for (; made < 1000; made++) yield event(1_000_000);
      } finally {
        cleaned.resolve(ctx.aborted);
      }
    };
    for await (const _event of connection.client(Events).subscribe({})) {
      await Bun.sleep(50);
      break;
    }
    expect(await cleaned.promise).toBe(true);
    expect(made).toBeLessThan(10);
  });

  test("stop waiting when the caller cancels", async () => {
    const cleaned = Promise.withResolvers<void>();
    subscribe = (ctx) => ({
      [Symbol.asyncIterator]: () => ({
        next: () =>
          new Promise((_resolve, reject) => ctx.signal.addEventListener("abort", () => reject(new Error("x")))),
        return: async () => {
          cleaned.resolve();
          return { done: true, value: undefined };
        },
      }),
    });
    const controller = new AbortController();
    const read = async (): Promise<void> => {
      for await (const _event of connection.client(Events).subscribe({}, { signal: controller.signal }));
    };
    const call = faultOfCall(read());
    await Bun.sleep(5);
    controller.abort();
    expect(await call).toBe("canceled: context canceled");
    await cleaned.promise;
  });
});

describe("streams both ways", () => {
  test("answer message by message", async () => {
    async function* writes() {
      for (let i = 1; i <= 30; i++) yield { data: new Uint8Array(i * 50_000) };
    }
    const sizes: number[] = [];
    for await (const { offset } of connection.client(Content).write(writes())) sizes.push(Number(offset));
    expect(sizes).toEqual(Array.from({ length: 30 }, (_, i) => (i + 1) * 50_000));
  });

  test("take a message that is larger than the window", async () => {
    async function* writes() {
      yield { data: new Uint8Array(15_000_000) };
    }
    for await (const { offset } of connection.client(Content).write(writes())) expect(offset).toBe(15_000_000n);
  });

  test("end when the server fails, and let the writer clean up", async () => {
    const cleaned = Promise.withResolvers<void>();
    async function* forever() {
      try {
        for (;;) {
          yield { typeUrl: "x", value: new Uint8Array(1000) };
          await Bun.sleep(1);
        }
      } finally {
        cleaned.resolve();
      }
    }
    const read = async (): Promise<void> => {
      for await (const _answer of connection.client(Streaming).stream(forever()));
    };
    expect(await faultOfCall(read())).toBe('notFound: stream "x": not found');
    await cleaned.promise;
  });

  test("end with what the writer threw", async () => {
    async function* broken() {
      yield { data: new Uint8Array(1) };
      throw notFound("source");
    }
    const read = async (): Promise<void> => {
      for await (const _answer of connection.client(Content).write(broken()));
    };
    expect(await faultOfCall(read())).toBe("notFound: source: not found");
  });
});

describe("connectGrpc", () => {
  test("says why nobody answers", async () => {
    const nowhere = join(folder, "none");
    expect(await faultOfCall(connectGrpc({ path: nowhere }))).toBe(
      `unavailable: connect to ${nowhere}: no such file or directory`,
    );
  });
});

describe("GrpcServer.close", () => {
  test("lets calls end, refuses new ones, and hangs up", async () => {
    const own = createGrpcServer({ services });
    const port = await own.listen({ host: "127.0.0.1", port: 0 });
    const client = await connectGrpc({ host: "127.0.0.1", port });
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    version = async () => {
      entered.resolve();
      await gate.promise;
      return { version: "done" };
    };
    const call = client.client(Version).version({});
    await entered.promise;
    const closed = own.close(5000);
    await Bun.sleep(5);
    expect(await faultOfCall(client.client(Version).version({}))).toBe("unavailable: the server is going away");
    gate.resolve();
    expect((await call).version).toBe("done");
    await closed;
    await client.closed;
  });

  test("cancels what takes longer than the grace", async () => {
    const own = createGrpcServer({ services });
    const port = await own.listen({ host: "127.0.0.1", port: 0 });
    const client = await connectGrpc({ host: "127.0.0.1", port });
    const entered = Promise.withResolvers<void>();
    version = () => {
      entered.resolve();
      return new Promise(() => {});
    };
    const call = faultOfCall(client.client(Version).version({}));
    await entered.promise;
    await own.close(10);
    expect(await call).toStartWith("unavailable: ");
  });
});
