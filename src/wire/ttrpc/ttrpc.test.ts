import { afterAll, afterEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Health } from "../../gen/grpc/health/v1/health_pb.ts";
import { Host } from "../../gen/lighter/shim/v1/host_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, notFound } from "../../lib/faults.ts";
import { silentLogger } from "../../lib/log.ts";
import { defineService, type ServiceDefinition } from "../service.ts";
import { encodeFrame, FrameParser, frameTypes } from "./frames.ts";
import { connectTtrpc, createTtrpcServer } from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-ttrpc-"));
let count = 0;
const open: AsyncDisposable[] = [];

afterEach(async () => {
  for (const one of open.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function serve(...services: ServiceDefinition[]) {
  const path = join(folder, `${count++}.sock`);
  const server = createTtrpcServer({ services, log: silentLogger });
  open.push(server);
  await server.listen(path);
  const connection = await connectTtrpc({ path });
  open.push(connection);
  return { path, server, connection };
}

const events = (total: number, size: number, seen: { aborted?: boolean } = {}) =>
  defineService(Host, {
    async *events(ctx: Ctx) {
      for (let n = 1; n <= total; n++) {
        yield { sequence: BigInt(n), topic: "x".repeat(size) };
        seen.aborted = ctx.aborted;
      }
    },
  });

describe("ttrpc unary call", () => {
  test("carries the answer, the namespace, the lease and other metadata", async () => {
    let got: Ctx | undefined;
    const { connection } = await serve(
      defineService(Host, {
        info: (ctx) => {
          got = ctx;
          return { version: "1", pid: 7 };
        },
      }),
    );
    const host = connection.client(Host, { namespace: "ns" });
    expect(await host.info({}, { lease: "l", metadata: new Map([["K", "v"]]) })).toMatchObject({
      version: "1",
      pid: 7,
    });
    expect([got?.namespace, got?.lease, got?.metadata.get("k")]).toEqual(["ns", "l", "v"]);
  });

  test("is traced from its begin to its end, with the status that the caller gets", async () => {
    const heard: string[] = [];
    const trace = { traceId: "t", traceparent: "p", child: () => trace, end: () => {} };
    const path = join(folder, `${count++}.sock`);
    let seen: string | undefined;
    const info = (ctx: Ctx): { version: string } => {
      seen = ctx.trace?.traceId;
      return { version: "1" };
    };
    const list = (): never => {
      throw notFound('task "x"');
    };
    const server = createTtrpcServer({
      services: [defineService(Host, { info, list })],
      log: silentLogger,
      tracer: {
        begin: ({ method, namespace, metadata }) => {
          heard.push(`${method.name} ${namespace} ${metadata.get("traceparent")}`);
          return { trace, ended: (code, message) => void heard.push(`${method.name} ${code} ${message}`) };
        },
      },
    });
    open.push(server);
    await server.listen(path);
    const connection = await connectTtrpc({ path });
    open.push(connection);
    const host = connection.client(Host, { namespace: "ns" });
    await host.info({}, { metadata: new Map([["traceparent", "p"]]) });
    await host.list({}).catch(() => {});
    expect(seen).toBe("t");
    expect(heard).toEqual(["Info ns p", "Info 0 ", "List ns undefined", 'List 5 task "x": not found']);
  });

  test("keeps a fault's kind and text", async () => {
    const { connection } = await serve(
      defineService(Host, {
        info: () => {
          throw notFound('task "x"');
        },
        list: () => {
          throw new TypeError("odd");
        },
      }),
    );
    const host = connection.client(Host);
    const error = await host.info({}).catch((e: unknown) => e);
    expect(error).toBeInstanceOf(FaultError);
    expect(error).toMatchObject({ kind: "notFound", message: 'task "x": not found' });
    expect(await host.list({}).catch((e: unknown) => e)).toMatchObject({ kind: "unknown", message: "odd" });
  });

  test("answers Unimplemented by name for what is not there", async () => {
    const { connection } = await serve(defineService(Host, {}));
    const method = await connection
      .client(Host)
      .info({})
      .catch((e: unknown) => e);
    expect(method).toMatchObject({ kind: "notImplemented", message: "method Info" });
    const service = await connection
      .client(Health)
      .check({})
      .catch((e: unknown) => e);
    expect(service).toMatchObject({ kind: "notImplemented", message: "service grpc.health.v1.Health" });
  });

  test.each([2 ** 31, 1e13, Number.POSITIVE_INFINITY])(
    "does not end now when its time is %d ms away",
    async (timeoutMs) => {
      const { connection } = await serve(defineService(Host, { info: () => Bun.sleep(20).then(() => ({ pid: 7 })) }));
      expect(await connection.client(Host).info({}, { timeoutMs })).toMatchObject({ pid: 7 });
    },
  );

  test("ends with deadlineExceeded on both sides when its time is over", async () => {
    const fired = Promise.withResolvers<unknown>();
    const { connection } = await serve(
      defineService(Host, {
        info: (ctx) =>
          new Promise((_, reject) =>
            ctx.signal.addEventListener("abort", () => (fired.resolve(ctx.signal.reason), reject(ctx.signal.reason))),
          ),
      }),
    );
    const error = await connection
      .client(Host)
      .info({}, { timeoutMs: 20 })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ kind: "deadlineExceeded" });
    expect(await fired.promise).toMatchObject({ kind: "deadlineExceeded" });
  });

  test("is cancelled at the server when the connection closes, and fails as unavailable at the client", async () => {
    const fired = Promise.withResolvers<unknown>();
    const started = Promise.withResolvers<void>();
    const { connection } = await serve(
      defineService(Host, {
        info: (ctx) => {
          started.resolve();
          return new Promise((_, reject) =>
            ctx.signal.addEventListener("abort", () => (fired.resolve(ctx.signal.reason), reject(ctx.signal.reason))),
          );
        },
      }),
    );
    const call = connection
      .client(Host)
      .info({})
      .catch((e: unknown) => e);
    await started.promise;
    await connection[Symbol.asyncDispose]();
    expect(await call).toMatchObject({ kind: "unavailable", message: "ttrpc: closed: unavailable" });
    expect(await fired.promise).toMatchObject({ kind: "canceled" });
  });

  test("takes a message of nearly 4 MiB and refuses a longer one", async () => {
    const { connection } = await serve(
      defineService(Host, { info: (ctx) => ({ version: ctx.metadata.get("big") ?? "" }) }),
    );
    const host = connection.client(Host);
    const big = "x".repeat((4 << 20) - 200);
    expect((await host.info({}, { metadata: new Map([["big", big]]) })).version.length).toBe(big.length);
    const error = await host
      .info({}, { metadata: new Map([["big", `${big}${"x".repeat(400)}`]]) })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ kind: "resourceExhausted" });
  });

  test("1000 calls in flight each get their own answer", async () => {
    const { connection } = await serve(
      defineService(Host, {
        info: async (ctx) => (await Bun.sleep(Math.random() * 5), { version: ctx.metadata.get("n") ?? "" }),
      }),
    );
    const host = connection.client(Host);
    const answers = await Promise.all(
      Array.from({ length: 1000 }, (_, n) => host.info({}, { metadata: new Map([["n", String(n)]]) })),
    );
    expect(answers.map((a) => Number(a.version))).toEqual(Array.from({ length: 1000 }, (_, n) => n));
  });
});

describe("ttrpc server stream", () => {
  test("delivers every message in order, also large ones", async () => {
    const { connection } = await serve(events(300, 100_000));
    let next = 1n;
    for await (const event of connection.client(Host).events({})) {
      expect(event.sequence).toBe(next++);
      expect(event.topic.length).toBe(100_000);
    }
    expect(next).toBe(301n);
  });

  test("ends with the fault that the method threw", async () => {
    const { connection } = await serve(
      defineService(Host, {
        async *events() {
          yield { sequence: 1n };
          throw notFound("more");
        },
      }),
    );
    const got: bigint[] = [];
    const error = await (async () => {
      for await (const event of connection.client(Host).events({})) got.push(event.sequence);
    })().catch((e: unknown) => e);
    expect(got).toEqual([1n]);
    expect(error).toMatchObject({ kind: "notFound", message: "more: not found" });
  });

  test("a reader that leaves early leaves the connection usable", async () => {
    const { connection } = await serve(events(50, 10));
    for await (const event of connection.client(Host).events({})) if (event.sequence === 3n) break;
    let seen = 0;
    for await (const _ of connection.client(Host).events({})) seen++;
    expect(seen).toBe(50);
  });

  test("a reader that does not read holds the method back", async () => {
    let sent = 0;
    const { path } = await serve(
      defineService(Host, {
        async *events(ctx) {
          while (!ctx.aborted && sent < 100_000) {
            sent++;
            yield { topic: "x".repeat(100_000) };
          }
        },
      }),
    );
    const bytes = encodeFrame(1, frameTypes.request, 1, requestBytes("lighter.shim.v1.Host", "Events"));
    const opened = Promise.withResolvers<void>();
    const socket = await Bun.connect({
      unix: path,
      socket: { open: (s) => (s.pause(), s.write(bytes), opened.resolve()), data: () => {} },
    });
    await opened.promise;
    let before = -1;
    while (before !== sent || sent === 0) {
      before = sent;
      await Bun.sleep(100);
    }
    expect(sent).toBeLessThan(200);
    socket.terminate();
  });
});

describe("ttrpc protocol", () => {
  test("refuses even and reused stream ids and answers what follows", async () => {
    const { path } = await serve(defineService(Host, { info: () => ({ version: "1" }) }));
    const payload = requestBytes("lighter.shim.v1.Host", "Info");
    const answers: { stream: number; bytes: string }[] = [];
    const done = Promise.withResolvers<void>();
    const parser = new FrameParser((frame) => {
      answers.push({ stream: frame.stream, bytes: Buffer.from(frame.payload).toString("latin1") });
      if (answers.length === 3) done.resolve();
    });
    const socket = await Bun.connect({
      unix: path,
      socket: {
        open: (s) => {
          s.write(Buffer.concat([2, 3, 3].map((id) => encodeFrame(id, frameTypes.request, 0, payload))));
        },
        data: (_s, chunk) => parser.push(chunk),
      },
    });
    await done.promise;
    socket.end();
    const of = (stream: number, text: string) => answers.some((a) => a.stream === stream && a.bytes.includes(text));
    expect(of(2, "must be odd")).toBe(true);
    expect(of(3, "cannot be re-used")).toBe(true);
    expect(of(3, "1")).toBe(true);
  });

  test("the socket is its owner's alone and goes with the server", async () => {
    const { path, server } = await serve(defineService(Host, {}));
    expect(statSync(path).mode & 0o777).toBe(0o600);
    await server.close();
    expect(() => statSync(path)).toThrow();
    expect(await connectTtrpc({ path }).catch((e: unknown) => e)).toMatchObject({ kind: "unavailable" });
  });
});

function requestBytes(service: string, method: string): Uint8Array {
  const field = (tag: number, text: string) => Buffer.concat([Buffer.from([tag, text.length]), Buffer.from(text)]);
  return Buffer.concat([field(0x0a, service), field(0x12, method)]);
}
