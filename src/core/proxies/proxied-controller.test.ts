import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Controller } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { MetricSchema } from "../../gen/containerd/types/metrics_pb.ts";
import { PlatformSchema } from "../../gen/containerd/types/platform_pb.ts";
import { type Sandbox, SandboxSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { notFound, unavailable } from "../../lib/faults.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import { createGrpcServer } from "../../wire/grpc/index.ts";
import { defineService, type ServiceImpl } from "../../wire/service.ts";
import { LazyConnection } from "./lazy-connection.ts";
import { createProxyController, endpointsOf } from "./proxied-controller.ts";

const ctx = createCtx({ namespace: "boxes" });
const sandbox = create(SandboxSchema, { sandboxId: "pod", sandboxer: "far" });
const spec = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.0.2" });
const address = "ttrpc+unix:///run/far.sock";

/** What another process serves, and what it was asked. */
async function serve(more: ServiceImpl<typeof Controller> = {}) {
  await using stack = new AsyncDisposableStack();
  const folder = mkdtempSync(join(tmpdir(), "lighter-proxied-controller-"));
  stack.defer(() => rmSync(folder, { recursive: true, force: true }));
  const asked: unknown[] = [];
  const note = (method: string, namespace: string | undefined, request: { sandboxId: string; sandboxer: string }) => {
    asked.push([method, namespace, request.sandboxId, request.sandboxer]);
  };
  const impl: ServiceImpl<typeof Controller> = {
    create: ({ namespace }, request) => {
      note("create", namespace, request);
      asked.push([request.netnsPath, request.annotations, request.rootfs.length, request.sandbox?.sandboxer]);
      return { sandboxId: request.sandboxId };
    },
    start: ({ namespace }, request) => {
      note("start", namespace, request);
      const times = { createdAt: timestampFromMs(5000) };
      return { sandboxId: request.sandboxId, pid: 7, labels: { a: "b" }, address, version: 3, spec, ...times };
    },
    platform: () => ({ platform: create(PlatformSchema, { os: "linux", architecture: "riscv64" }) }),
    stop: ({ namespace }, request) => {
      note("stop", namespace, request);
      asked.push(request.timeoutSecs);
      return {};
    },
    wait: () => ({ exitStatus: 3, exitedAt: timestampFromMs(6000) }),
    status: (_ctx, { sandboxId, verbose }) => {
      if (sandboxId !== "pod") throw notFound(`sandbox ${sandboxId}`);
      return { sandboxId, pid: 7, state: "SANDBOX_READY", info: { verbose: String(verbose) }, address, version: 3 };
    },
    shutdown: ({ namespace }, request) => {
      note("shutdown", namespace, request);
      return {};
    },
    metrics: (_ctx, { sandboxId }) => ({ metrics: create(MetricSchema, { id: sandboxId }) }),
    update: ({ namespace }, request) => {
      note("update", namespace, request);
      asked.push(request.fields);
      return {};
    },
    ...more,
  };
  const server = createGrpcServer({ services: [defineService(Controller, impl)] });
  const path = join(folder, "s.sock");
  await server.listen({ path });
  stack.defer(() => server.close(100));
  const connection = stack.use(new LazyConnection(`unix://${path}`));
  const controller = createProxyController("far", () => connection.client(Controller));
  const owned = stack.move();
  return { controller, asked, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("a proxied sandbox controller", () => {
  test("passes every call on, under its own name and in the caller's namespace", async () => {
    await using at = await serve();
    const { controller, asked } = at;
    const creation = { sandbox, rootfs: [], options: undefined, netnsPath: "/netns", annotations: { k: "v" } };
    await controller.create(ctx, creation);
    expect(await controller.start(ctx, "pod")).toMatchObject({ pid: 7, labels: { a: "b" }, address, version: 3 });
    expect((await controller.platform(ctx, "pod"))?.architecture).toBe("riscv64");
    const status = await controller.status(ctx, "pod", true);
    expect(status).toMatchObject({ id: "pod", state: "SANDBOX_READY", info: { verbose: "true" }, address, version: 3 });
    // Times that were left out are what Go makes of them.
    expect(status.exitedAt.seconds).toBe(0n);
    expect((await controller.metrics(ctx, "pod"))?.id).toBe("pod");
    await controller.update(ctx, "pod", sandbox, ["labels"]);
    await controller.stop(ctx, "pod", 9);
    expect(await controller.wait(ctx, "pod")).toMatchObject({ exitStatus: 3 });
    await controller.shutdown(ctx, "pod");
    const call = (method: string): unknown[] => [method, "boxes", "pod", "far"];
    expect(asked).toEqual([
      call("create"),
      ["/netns", { k: "v" }, 0, "far"],
      call("start"),
      call("update"),
      ["labels"],
      call("stop"),
      9,
      call("shutdown"),
    ]);
    expect(await failureText(() => controller.status(ctx, "none", false))).toBe("notFound: sandbox none: not found");
  });

  test("waits through restarts of the other process, until the caller gives up", async () => {
    let lives = 0;
    const giveUp = new AbortController();
    await using at = await serve({
      wait: (_ctx, { sandboxId }) => {
        lives += 1;
        if (sandboxId === "gone") {
          giveUp.abort();
          throw unavailable("starting again");
        }
        if (lives < 3) throw unavailable("starting again");
        return { exitStatus: 1 };
      },
    });
    expect((await at.controller.wait(ctx, "pod")).exitStatus).toBe(1);
    expect(lives).toBe(3);
    const waiting = at.controller.wait(createCtx({ namespace: "boxes", signal: giveUp.signal }), "gone");
    expect(await failureText(() => waiting)).toStartWith("canceled: ");
    // Other failures are the answer.
    await using other = await serve({
      wait: () => {
        throw notFound("sandbox pod");
      },
    });
    expect(await failureText(() => other.controller.wait(ctx, "pod"))).toBe("notFound: sandbox pod: not found");
  });

  test("says where the tasks of its own sandboxes go, and nothing of those of others", async () => {
    await using at = await serve();
    const records = new Map<string, Sandbox>([
      ["pod", sandbox],
      ["ours", create(SandboxSchema, { sandboxId: "ours", sandboxer: "shim" })],
    ]);
    const get = (_ctx: unknown, id: string): Sandbox => {
      const found = records.get(id);
      if (found === undefined) throw notFound(`sandbox ${id}`);
      return found;
    };
    const lookup = endpointsOf("far", at.controller, { get });
    expect(await lookup("boxes", "pod")).toEqual({ address, version: 3 });
    expect([await lookup("boxes", "ours"), await lookup("boxes", "none")]).toEqual([undefined, undefined]);
  });
});
