import { describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { ContainerDeleteSchema } from "../../gen/containerd/events/container_pb.ts";
import { type Checkpoint, CheckpointSchema } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import { parseDigest } from "../../lib/digest.ts";
import { anyOf } from "../../wire/any.ts";
import { creation, FakeHost, failure, TestDaemon, until } from "../tasks/testing.ts";
import { createDrafts, type Draft } from "./drafts.ts";
import { checkpointsSchema, createNamedCheckpoints, type NamedCheckpoints } from "./index.ts";

function open(daemon: TestDaemon): NamedCheckpoints {
  const { metadata, content, exchange, tasks, leases, folder: root, logger: log } = daemon;
  if (leases === undefined) throw new Error("the daemon is down");
  const namespaces = { list: () => [{ name: "default", labels: new Map<string, string>() }] };
  const containers = daemon.containerStore();
  return createNamedCheckpoints({ root, metadata, content, exchange, tasks, leases, containers, namespaces, log });
}

const wanted = (containerId: string, name: string): Checkpoint =>
  create(CheckpointSchema, { containerId, name, openTcp: true, emptyNamespaces: ["network"] });

describe("NamedCheckpoints", () => {
  test("keep a task's images under a name, from which another task starts", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher, [checkpointsSchema]);
    await using checkpoints = open(daemon);
    await daemon.running("c1");
    const made = await checkpoints.create(daemon.ctx, wanted("c1", "before"));
    expect(made).toMatchObject({ containerId: "c1", name: "before", openTcp: true, exit: false });
    expect(checkpoints.get(daemon.ctx, "c1", "before")).toEqual(made);
    await checkpoints.create(daemon.ctx, wanted("c1", "after"));
    expect(checkpoints.list(daemon.ctx, "c1").map(({ name }) => name)).toEqual(["before", "after"]);
    expect(checkpoints.list(daemon.ctx, "")).toHaveLength(2);

    host.exit("default", "c1", "", 0);
    await daemon.tasks.delete(daemon.ctx, "c1");
    await daemon.tasks.create(daemon.ctx, creation("c1", { checkpoint: made.target }));
    const folder = host.tasks.get("default/c1")?.checkpoint ?? "";
    expect(await Bun.file(`${folder}/pages-1.img`).text()).toBe("pages of memory");
  });

  test("say what is missing, there, or badly named", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher, [checkpointsSchema]);
    await using checkpoints = open(daemon);
    expect(await failure(checkpoints.create(daemon.ctx, wanted("c1", "x")))).toBe(
      'container "c1" in namespace "default": not found',
    );
    daemon.container("c1");
    expect(await failure(checkpoints.create(daemon.ctx, wanted("c1", "x")))).toBe("task c1 not found");
    expect(await failure(checkpoints.create(daemon.ctx, wanted("c1", "../x")))).toContain(
      "checkpoint name: identifier",
    );
    expect(await failure(checkpoints.delete(daemon.ctx, "c1", "x"))).toBe(
      'checkpoint "x" of container "c1": not found',
    );
    await daemon.running("c2");
    await checkpoints.create(daemon.ctx, wanted("c2", "x"));
    expect(await failure(checkpoints.create(daemon.ctx, wanted("c2", "x")))).toBe(
      'checkpoint "x" of container "c2": already exists',
    );
  });

  test("leave the content store when they are deleted, and hold no lease", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher, [checkpointsSchema]);
    await using checkpoints = open(daemon);
    await daemon.running("c1");
    const { target } = await checkpoints.create(daemon.ctx, wanted("c1", "x"));
    const digest = parseDigest(target?.digest ?? "");
    expect(daemon.content.info(daemon.ctx, digest).labels.has("containerd.io/gc.root")).toBe(true);
    await checkpoints.delete(daemon.ctx, "c1", "x");
    expect(checkpoints.list(daemon.ctx, "c1")).toEqual([]);
    expect(daemon.content.list(daemon.ctx, []).map((info) => info.digest)).not.toContain(digest);
    expect(daemon.leases?.list(daemon.ctx, [])).toEqual([]);
  });

  test("go with their container, and are not those of the next one of its id", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher, [checkpointsSchema]);
    await using checkpoints = open(daemon);
    await daemon.running("c1");
    const { target } = await checkpoints.create(daemon.ctx, wanted("c1", "x"));
    daemon.container("c1");
    expect(checkpoints.list(daemon.ctx, "c1")).toEqual([]);
    const gone = anyOf(ContainerDeleteSchema, create(ContainerDeleteSchema, { id: "c1" }));
    daemon.exchange.publish(daemon.ctx, "/containers/delete", gone);
    const left = (): string[] => daemon.content.list(daemon.ctx, []).map((info) => info.digest);
    await until(() => !left().includes(parseDigest(target?.digest ?? "")), "the content's end");
    await checkpoints.create(daemon.ctx, wanted("c1", "x"));
  });

  test("of containers that went while the daemon was down go at its start", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher, [checkpointsSchema]);
    const first = open(daemon);
    await daemon.running("c1");
    await first.create(daemon.ctx, wanted("c1", "x"));
    await first[Symbol.asyncDispose]();
    await daemon.down();
    daemon.containers.clear();
    await daemon.up();
    await using _second = open(daemon);
    await until(() => daemon.content.list(daemon.ctx, ['labels."io.lighter.checkpoint"']).length === 0, "its end");
  });

  test("are finished at the next start when their container was stopped for them, and else dropped", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher, [checkpointsSchema]);
    await daemon.running("c1");
    const life = lifeOf(daemon, "c1");
    const drafts = createDrafts(daemon.folder);
    for (const [name, exit, notes] of [
      ["stopped", true, "{}"],
      ["running", false, "{}"],
      ["another", true, "{}"],
    ] as const) {
      const checkpoint = create(CheckpointSchema, { containerId: "c1", name, exit });
      const containerLife = name === "another" ? "0.0" : life;
      const draft = await drafts.create({ namespace: "default", containerLife, checkpoint });
      await Bun.write(join(draft.images, "pages-1.img"), "pages of memory");
      await Bun.write(join(draft.images, "lighter.json"), notes);
    }
    await Bun.write(join(daemon.folder, "io.lighter.checkpoints.v1/broken/draft.json"), "{");
    await using checkpoints = open(daemon);
    await until(() => readdirSync(join(daemon.folder, "io.lighter.checkpoints.v1")).length === 0, "the drafts' end");
    expect(checkpoints.list(daemon.ctx, "c1").map(({ name, exit }) => [name, exit])).toEqual([["stopped", true]]);
    expect(daemon.leases?.list(daemon.ctx, [])).toEqual([]);
  });
});

function lifeOf(daemon: TestDaemon, id: string): string {
  const { createdAt } = daemon.containerStore().get(daemon.ctx, id);
  return `${createdAt?.seconds ?? 0n}.${createdAt?.nanos ?? 0}`;
}

test("Drafts.load leaves drafts alone that are being made meanwhile", async () => {
  const folder = mkdtempSync(join(tmpdir(), "lighter-drafts-"));
  try {
    const drafts = createDrafts(folder);
    const draft: Draft = {
      namespace: "default",
      containerLife: "1",
      checkpoint: create(CheckpointSchema, { containerId: "c1", name: "x" }),
    };
    const made = Array.from({ length: 20 }, () => drafts.create(draft));
    while (!existsSync(join(folder, "io.lighter.checkpoints.v1"))) await Bun.sleep(0);
    expect(await drafts.load()).toEqual([]);
    for (const each of await Promise.all(made)) expect(existsSync(each.images)).toBe(true);
    expect(await createDrafts(folder).load()).toHaveLength(20);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
