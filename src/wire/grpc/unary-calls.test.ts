import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { Content } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { Events } from "../../gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { notFound } from "../../lib/faults.ts";
import type { HeaderBlock } from "../http2/index.ts";
import { headerValue } from "../http2/index.ts";
import { CallBed, emptyMessage, faultOfCall, requestFields } from "./testing.ts";

const bed = new CallBed();
beforeAll(() => bed.open());
afterAll(() => bed[Symbol.asyncDispose]());

describe("unary calls", () => {
  test("answer what the implementation returns, now or later", async () => {
    const client = bed.connection.client(Version);
    bed.version = () => ({ version: "now" });
    expect((await client.version({})).version).toBe("now");
    bed.version = async () => ({ version: "later" });
    expect((await client.version({})).version).toBe("later");
  });

  test("carry namespace, lease and metadata into the context", async () => {
    let seen: unknown;
    bed.version = (ctx) => {
      seen = [ctx.namespace, ctx.lease, ctx.metadata.get("x-trace"), ctx.metadata.has("grpc-timeout"), ctx.aborted];
      return {};
    };
    const client = bed.connection.client(Version, { namespace: "default" });
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
    bed.version = behave;
    expect(await faultOfCall(bed.connection.client(Version).version({}))).toBe(want);
  });

  test("are answered with no more words than the caller takes", async () => {
    const client = bed.connection.client(Version);
    bed.version = () => Promise.reject(notFound(`container "${"ü€𝄞".repeat(9000)}"`));
    const said = await faultOfCall(client.version({}));
    expect(said).toStartWith('notFound: container "ü€𝄞');
    expect(said).toMatch(/[ü€𝄞]\.{3} \(cut\)$/u);
    expect(said.length).toBeGreaterThan(5000);
    bed.version = () => ({ version: "the same connection" });
    expect((await client.version({})).version).toBe("the same connection");
  });

  test("log what is not a fault with its stack, and live on", async () => {
    bed.logged.length = 0;
    bed.version = () => {
      throw new TypeError("a bug");
    };
    await faultOfCall(bed.connection.client(Version).version({}));
    expect(bed.logged.join("")).toContain("unary-calls.test.ts");
    bed.version = () => ({ version: "alive" });
    expect((await bed.connection.client(Version).version({})).version).toBe("alive");
  });

  test("that are not there answer Unimplemented, each in its own words", async () => {
    expect(await faultOfCall(bed.connection.client(Content).status({}))).toBe(
      "notImplemented: method Status not implemented",
    );
    const unknownService = await bed.rawCall(requestFields({ ":path": "/no.such.Service/Call" }), emptyMessage);
    expect(headerValue(unknownService.fields, "grpc-message")).toBe("unknown service no.such.Service");
    const unknownMethod = await bed.rawCall(
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
    const { fields } = await bed.rawCall(requestFields(overrides as Record<string, string>), emptyMessage);
    expect([headerValue(fields, ":status"), headerValue(fields, "grpc-status")]).toEqual([httpStatus, code]);
  });

  test.each([
    ["nothing", Buffer.alloc(0), "2"],
    ["half a message", Buffer.of(0, 0, 0, 0, 9, 1), "2"],
    ["two messages", Buffer.alloc(10), "0"],
    ["a message and a half", Buffer.of(0, 0, 0, 0, 0, 0, 0, 0, 0, 9, 1), "0"],
    ["an unknown flag", Buffer.of(2, 0, 0, 0, 0), "13"],
    ["bytes that are no message", Buffer.of(0, 0, 0, 0, 1, 0xff), "13"],
  ])("with %s as request answer as grpc-go", async (_name, body, code) => {
    bed.version = () => ({});
    const { fields } = await bed.rawCall(requestFields(), body);
    expect(headerValue(fields, "grpc-status")).toBe(code);
  });

  test("take gzip requests, and unpack no more than is allowed", async () => {
    bed.version = () => ({});
    const send = async (plain: Uint8Array): Promise<HeaderBlock> => {
      const packed = gzipSync(plain);
      const prefix = Buffer.of(1, 0, 0, 0, 0);
      prefix.writeUInt32BE(packed.length, 1);
      return bed.rawCall(requestFields({ "grpc-encoding": "gzip" }), Buffer.concat([prefix, packed]));
    };
    expect(headerValue((await send(Buffer.alloc(0))).fields, "grpc-status")).toBe("0");
    const bomb = await send(Buffer.alloc(20 * 1024 * 1024));
    expect(headerValue(bomb.fields, "grpc-status")).toBe("8");
  });

  test("larger than 16 MiB are refused with grpc-go's words", async () => {
    const events = bed.connection.client(Events);
    const value = new Uint8Array(17 * 1024 * 1024);
    const fault = await faultOfCall(events.publish({ topic: "/x", event: { typeUrl: "x", value } }));
    expect(fault).toMatch(/^resourceExhausted: grpc: received message larger than max \(178\d+ vs\. 16777216\)$/);
    const fits = new Uint8Array(16 * 1024 * 1024 - 100);
    await events.publish({ topic: "/x", event: { typeUrl: "x", value: fits } });
  });
});
