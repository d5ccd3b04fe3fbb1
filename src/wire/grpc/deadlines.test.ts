import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { headerValue } from "../http2/index.ts";
import { connectGrpc } from "./index.ts";
import { CallBed, emptyMessage, faultOfCall, requestFields } from "./testing.ts";

const bed = new CallBed();
beforeAll(() => bed.open());
afterAll(() => bed[Symbol.asyncDispose]());

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
    bed.version = implementation;
    const fields = requestFields({ "grpc-timeout": "50m" });
    const started = performance.now();
    const { fields: trailers } = await bed.rawCall(fields, emptyMessage);
    expect(performance.now() - started).toBeGreaterThanOrEqual(49);
    expect(headerValue(trailers, "grpc-status")).toBe("4");
    expect(await reason).toMatchObject({ kind: "deadlineExceeded", message: "context deadline exceeded" });
  });

  test("a deadline that has passed spares the work", async () => {
    let ran = false;
    bed.version = () => {
      ran = true;
      return {};
    };
    const { fields } = await bed.rawCall(requestFields({ "grpc-timeout": "0n" }), emptyMessage);
    expect(headerValue(fields, "grpc-status")).toBe("4");
    expect(ran).toBe(false);
  });

  test("the client's own deadline ends its call", async () => {
    bed.version = () => new Promise(() => {});
    const call = bed.connection.client(Version).version({}, { timeoutMs: 30 });
    expect(await faultOfCall(call)).toBe("deadlineExceeded: context deadline exceeded");
  });

  test.each([2 ** 31, Number.POSITIVE_INFINITY])("a deadline %d ms away is not now", async (timeoutMs) => {
    bed.version = () => Bun.sleep(20).then(() => ({ version: "late" }));
    const { version } = await bed.connection.client(Version).version({}, { timeoutMs });
    expect(version).toBe("late");
  });

  test("a caller that cancels is canceled here", async () => {
    const { implementation, reason } = hang();
    bed.version = implementation;
    const controller = new AbortController();
    const call = faultOfCall(bed.connection.client(Version).version({}, { signal: controller.signal }));
    await Bun.sleep(5);
    controller.abort();
    expect(await call).toBe("canceled: context canceled");
    expect(await reason).toMatchObject({ kind: "canceled", message: "context canceled" });
  });

  test("a caller that is gone is canceled here", async () => {
    const { implementation, reason } = hang();
    const entered = Promise.withResolvers<void>();
    bed.version = (ctx) => {
      entered.resolve();
      return implementation(ctx);
    };
    const other = await connectGrpc({ path: bed.path });
    const call = faultOfCall(other.client(Version).version({}));
    await entered.promise;
    await other[Symbol.asyncDispose]();
    expect(await reason).toMatchObject({ kind: "canceled" });
    expect(await call).toStartWith("unavailable: ");
    expect(await faultOfCall(other.client(Version).version({}))).toBe("unavailable: the connection is closed");
  });

  test("a signal asked for late has fired already", async () => {
    const seen = Promise.withResolvers<boolean>();
    bed.version = async (ctx) => {
      while (!ctx.aborted) await Bun.sleep(1);
      seen.resolve(ctx.signal.aborted);
      return {};
    };
    await faultOfCall(bed.connection.client(Version).version({}, { timeoutMs: 20 }));
    expect(await seen.promise).toBe(true);
  });
});
