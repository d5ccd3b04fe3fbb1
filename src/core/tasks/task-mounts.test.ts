import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { RuntimeInfoSchema, RuntimeRequestSchema } from "../../gen/containerd/types/introspection_pb.ts";
import { type Mount, MountSchema } from "../../gen/containerd/types/mount_pb.ts";
import { anyOf, anyTo } from "../../wire/any.ts";
import type { RuntimeInfoSource } from "./runtime-info.ts";
import { TaskMounts } from "./task-mounts.ts";
import { creation, failure, TestDaemon } from "./test-daemon.ts";
import { FakeHost } from "./testing.ts";

describe.skipIf(process.getuid?.() !== 0)("the mounts of a task's root (needs root)", () => {
  let host: FakeHost;
  let daemon: TestDaemon;
  let tree: string;

  const mount = (type: string, source: string, options: string[] = ["rbind"]): Mount =>
    create(MountSchema, { type, source, options });
  /** One that shims mount themselves needs another below it, which is found by its number. */
  const rootfs = (): Mount[] => [mount("bind", tree), mount("format/bind", "{{ mount 0 }}")];
  const point = (number: number): string => join(daemon.state, "t", String(number), "1");
  const targets = (): string[] => readdirSync(join(daemon.state, "t"));
  const told = (id: string): unknown =>
    host.tasks.get(`default/${id}`)?.rootfs.map(({ type, source, options }) => [type, source, options]);
  const names = async (): Promise<string[]> => (await daemon.mounts.list(daemon.ctx, [])).map(({ name }) => name);

  beforeEach(async () => {
    host = await FakeHost.create();
    daemon = await TestDaemon.start(host.launcher);
    tree = join(daemon.folder, "tree");
    mkdirSync(tree);
    writeFileSync(join(tree, "file"), "here");
  });
  afterEach(async () => {
    for (const name of await names()) await daemon.mounts.deactivate(daemon.ctx, name);
    await daemon[Symbol.asyncDispose]();
    await host[Symbol.asyncDispose]();
  });

  test("are left to the shim where it can make them", async () => {
    daemon.container("c1");
    await daemon.tasks.create(daemon.ctx, creation("c1", { rootfs: [mount("bind", tree)] }));
    expect([told("c1"), await names()]).toEqual([[["bind", tree, ["rbind"]]], []]);
  });

  test("are left to a shim that says that it makes them, and made for one that fails to tell", async () => {
    daemon.container("c1");
    const told: string[] = [];
    const says = (annotations: Record<string, string> | undefined) => {
      const runtimeInfo: RuntimeInfoSource = (_ctx, request) => {
        told.push(anyTo(request, RuntimeRequestSchema).runtimePath);
        if (annotations === undefined) return Promise.reject(new Error("no such option: -info"));
        return Promise.resolve(anyOf(RuntimeInfoSchema, create(RuntimeInfoSchema, { annotations })));
      };
      return new TaskMounts({ manager: daemon.mounts, runtimeInfo, log: daemon.logger });
    };
    const allowed = says({ "containerd.io/runtime-allow-mounts": "erofs,format/*" });
    expect(await allowed.make(daemon.ctx, "c1", "/shim", rootfs())).toEqual({ rootfs: rootfs(), isNew: false });
    expect(await names()).toEqual([]);
    expect((await says({}).make(daemon.ctx, "c1", "/shim", rootfs())).isNew).toBe(true);
    expect((await says(undefined).make(daemon.ctx, "c2", "/shim", rootfs())).isNew).toBe(true);
    expect([await names(), told]).toEqual([
      ["c1", "c2"],
      ["/shim", "/shim", "/shim"],
    ]);
    expect(daemon.log.join("")).toContain("failed to load runtime info");
  });

  test("are made where it can't, for as long as the task is there", async () => {
    daemon.container("c1");
    await daemon.tasks.create(daemon.ctx, creation("c1", { rootfs: rootfs() }));
    expect(told("c1")).toEqual([["bind", point(1), ["rbind"]]]);
    expect(readFileSync(join(point(1), "file"), "utf8")).toBe("here");
    const { active, labels } = await daemon.mounts.info(daemon.ctx, "c1");
    expect([active.length, [...labels]]).toEqual([1, [["containerd.io/gc.bref.container", "c1"]]]);
    host.exit("default", "c1", "", 0);
    await daemon.tasks.delete(daemon.ctx, "c1");
    expect([await names(), targets()]).toEqual([[], []]);
  });

  test("go with a task that could not be made", async () => {
    daemon.container("c1");
    host.failCall = (method) => (method === "create" ? new Error("no") : undefined);
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1", { rootfs: rootfs() })))).toContain("no");
    expect([await names(), targets()]).toEqual([[], []]);
    const bad = [mount("format/bind", "{{ mount 7 }}")];
    expect(await failure(daemon.tasks.create(daemon.ctx, creation("c1", { rootfs: bad })))).toContain(
      "index out of bounds: 7, has 0 active mounts",
    );
    expect([await names(), targets()]).toEqual([[], []]);
  });

  test("of a creation that the daemon died in serve the next one, and go with its task", async () => {
    daemon.container("c1");
    const mounts = rootfs().map(({ type, source, target, options }) => ({ type, source, target, options }));
    await daemon.mounts.activate(daemon.ctx, { name: "c1", mounts, labels: new Map(), temporary: false });
    await daemon.down();
    await daemon.up();
    host.failCall = (method) => (method === "create" ? new Error("no") : undefined);
    await failure(daemon.tasks.create(daemon.ctx, creation("c1", { rootfs: rootfs() })));
    expect(await names()).toEqual(["c1"]);
    host.failCall = () => undefined;
    await daemon.tasks.create(daemon.ctx, creation("c1", { rootfs: rootfs() }));
    expect([told("c1"), targets()]).toEqual([[["bind", point(1), ["rbind"]]], ["1"]]);
    host.exit("default", "c1", "", 0);
    await daemon.down();
    await daemon.up();
    await daemon.tasks.delete(daemon.ctx, "c1");
    expect([await names(), targets()]).toEqual([[], []]);
  });
});
