import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  Content,
  WriteAction,
  WriteContentRequestSchema,
} from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Leases } from "../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { busyboxImage, type Daemon, daemonKind, importBusybox, sharedDaemon } from "../support/index.ts";

const shared = sharedDaemon();

async function blobFiles(daemon: Daemon): Promise<readonly string[]> {
  return fs.readdir(path.join(daemon.root, "io.containerd.content.v1.content/blobs/sha256"));
}

async function clientsOf(daemon: Daemon) {
  const connection = await connectGrpc({ path: daemon.address });
  const call = { namespace: daemon.namespace };
  return {
    ...call,
    leases: connection.client(Leases, call),
    content: connection.client(Content, call),
    snapshots: connection.client(Snapshots, call),
    system: connection.client(System, call),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

type Clients = Awaited<ReturnType<typeof clientsOf>>;

/** Writes content under a lease, or under none. */
async function write(clients: Clients, text: string, lease?: string): Promise<string> {
  const data = new TextEncoder().encode(text);
  const digest = `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;
  const fields = { action: WriteAction.COMMIT, ref: text, total: BigInt(data.length), expected: digest, data };
  async function* requests() {
    yield create(WriteContentRequestSchema, fields);
  }
  for await (const _ of clients.content.write(requests(), { namespace: clients.namespace, lease })) continue;
  return digest;
}

describe("garbage collection", () => {
  shared.test("a synchronous removal takes an image's content and snapshots, files too", async (daemon) => {
    await daemon.ctrOk(["run", "--rm", busyboxImage, shared.newId(), "true"]);
    expect((await blobFiles(daemon)).length).toBeGreaterThan(2);
    await daemon.ctrOk(["images", "rm", "--sync", busyboxImage]);
    expect((await daemon.ctrOk(["content", "ls", "-q"])).trim()).toBe("");
    expect((await daemon.ctrOk(["snapshots", "ls"])).trim().split("\n")).toHaveLength(1);
    expect(await blobFiles(daemon)).toEqual([]);
    const snapshots = path.join(daemon.root, "io.containerd.snapshotter.v1.overlayfs/snapshots");
    expect(await fs.readdir(snapshots)).toEqual([]);
    await importBusybox(daemon);
  });

  shared.test("a lease keeps what is made under it until it is deleted", async (daemon) => {
    await using clients = await clientsOf(daemon);
    await clients.leases.create({ id: "keep" });
    const kept = await write(clients, "kept", "keep");
    const loose = await write(clients, "loose");
    const leased = { namespace: daemon.namespace, lease: "keep" };
    await clients.snapshots.prepare({ snapshotter: "overlayfs", key: "leased" }, leased);
    await clients.snapshots.prepare({ snapshotter: "overlayfs", key: "loose" });
    const keys = async (): Promise<string[]> => {
      const found: string[] = [];
      for await (const { info } of clients.snapshots.list({ snapshotter: "overlayfs" })) {
        found.push(...info.filter((one) => one.kind === 2).map((one) => one.name));
      }
      return found;
    };
    await clients.leases.create({ id: "trigger" });
    await clients.leases.delete({ id: "trigger", sync: true });
    expect([await keys(), (await clients.content.info({ digest: kept })).info?.digest]).toEqual([["leased"], kept]);
    await expectNotFound(() => clients.content.info({ digest: loose }));
    await clients.leases.delete({ id: "keep", sync: true });
    expect(await keys()).toEqual([]);
    await expectNotFound(() => clients.content.info({ digest: kept }));
  });

  if (daemonKind === "lighter") {
    shared.test("tells what keeps an object, who uses the disk, and that all is whole", async (daemon) => {
      await using clients = await clientsOf(daemon);
      await daemon.ctrOk(["container", "create", busyboxImage, "kept"]);
      const [chain] = (await daemon.ctrOk(["snapshots", "ls"]))
        .split("\n")
        .filter((line) => line.includes("Committed"));
      const [top = ""] = (chain ?? "").split(/\s+/);
      const { explanations } = await clients.system.explain({ name: top });
      expect(explanations).toHaveLength(1);
      const [explanation] = explanations;
      const layers = (explanation?.path ?? []).slice(2).map(() => "snapshot");
      expect(layers.length).toBeGreaterThan(0);
      expect(explanation?.object?.key).toBe(`overlayfs/${top}`);
      expect(explanation?.path.map((link) => link.object?.kind)).toEqual(["container", "snapshot", ...layers]);
      expect(explanation?.path.map((link) => link.how)).toEqual(["root", "snapshot", ...layers.map(() => "parent")]);
      const usage = await clients.system.diskUsage({});
      expect(usage.holders.map((one) => one.object?.kind)).toEqual(expect.arrayContaining(["container", "image"]));
      expect(usage.kinds.find((one) => one.kind === "content")?.objects).toBeGreaterThanOrEqual(3n);
      const file = path.join(daemon.root, "io.containerd.content.v1.content/blobs/sha256", "a".repeat(64));
      await fs.writeFile(file, "nobody's");
      const check = await clients.system.check({ deep: true });
      expect(check.problems.map((problem) => [problem.code, problem.path])).toEqual([["orphan-blob", file]]);
      await fs.rm(file);
      await daemon.ctrOk(["container", "rm", "kept"]);
      const collected = await clients.system.collectGarbage({});
      expect(collected.alive).toBeGreaterThan(3n);
      expect((await clients.system.check({ deep: true })).problems).toEqual([]);
    });
  }
});

async function expectNotFound(action: () => Promise<unknown>): Promise<void> {
  const answer = await action().then(
    () => "found",
    (error: unknown) => String(error),
  );
  expect(answer).toContain("not found");
}
