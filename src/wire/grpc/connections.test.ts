import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Version } from "../../gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc, createGrpcServer } from "./index.ts";
import { CallBed, faultOfCall } from "./testing.ts";

const bed = new CallBed();
beforeAll(() => bed.open());
afterAll(() => bed[Symbol.asyncDispose]());

describe("connectGrpc", () => {
  test("says why nobody answers", async () => {
    const nowhere = join(bed.folder, "none");
    expect(await faultOfCall(connectGrpc({ path: nowhere }))).toBe(
      `unavailable: connect to ${nowhere}: no such file or directory`,
    );
  });
});

describe("GrpcServer.close", () => {
  test("lets calls end, refuses new ones, and hangs up", async () => {
    const own = createGrpcServer({ services: bed.services });
    const port = await own.listen({ host: "127.0.0.1", port: 0 });
    const client = await connectGrpc({ host: "127.0.0.1", port });
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    bed.version = async () => {
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
    const own = createGrpcServer({ services: bed.services });
    const port = await own.listen({ host: "127.0.0.1", port: 0 });
    const client = await connectGrpc({ host: "127.0.0.1", port });
    const entered = Promise.withResolvers<void>();
    bed.version = () => {
      entered.resolve();
      return new Promise(() => {});
    };
    const call = faultOfCall(client.client(Version).version({}));
    await entered.promise;
    await own.close(10);
    expect(await call).toStartWith("unavailable: ");
  });

  test("waits for no call that waits itself, and cuts it off when the others have ended", async () => {
    const own = createGrpcServer({
      services: bed.services,
      ending: ({ name }) => (name === "Version" ? "cut" : "finish"),
    });
    const port = await own.listen({ host: "127.0.0.1", port: 0 });
    const client = await connectGrpc({ host: "127.0.0.1", port });
    const entered = Promise.withResolvers<void>();
    let reason: unknown;
    bed.version = (ctx) => {
      ctx.signal.addEventListener("abort", () => (reason = ctx.signal.reason));
      entered.resolve();
      return new Promise(() => {});
    };
    const call = faultOfCall(client.client(Version).version({}));
    await entered.promise;
    const order: string[] = [];
    const answered = call.then((text) => order.push(text));
    await own.close(60_000, () => {
      order.push("quiet");
    });
    await answered;
    expect(order).toEqual(["quiet", "unavailable: the server is going away: unavailable"]);
    expect(String(reason)).toContain("unavailable");
    await client.closed;
  });
});
