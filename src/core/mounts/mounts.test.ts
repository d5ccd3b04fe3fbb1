import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { Instant } from "../../lib/instant.ts";
import { silentLogger } from "../../lib/log.ts";
import { createKernel, unmountAll } from "../../sys/index.ts";
import { createGarbageCollector } from "../gc/index.ts";
import { collectableLeases, createLeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import { openTestMetadata } from "../metadata/testing.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { type ActivationRequest, createMountManager, type MountManager, mountsSchema } from "./index.ts";
import { needsManager, planMounts } from "./mount-plan.ts";
import type { MountSpec } from "./mount-spec.ts";
import { completeActivation, findActivation, insertActivation } from "./store.ts";

const mount = (type: string, more: Partial<MountSpec> = {}): MountSpec => ({
  type,
  source: "",
  target: "",
  options: [],
  ...more,
});

describe("planMounts", () => {
  const summary = (how: boolean | string[], ...types: string[]): unknown => {
    const mounts = types.map((type) => mount(type));
    const { steps, last, rest } =
      typeof how === "boolean" ? planMounts(mounts, how) : planMounts(mounts, false, new Set(how));
    const made = steps.map(({ request, folder, transforms }) => [...transforms, request.type, folder].join(" "));
    return [
      made,
      last === undefined ? "" : [...last.transforms, last.request.type].join(" "),
      rest.map(({ type }) => type),
    ];
  };

  test("leaves to the caller what it can leave", () => {
    expect(summary(false, "erofs", "overlay")).toEqual([["erofs 1"], "", ["overlay"]]);
    expect(summary(false, "ext4", "erofs", "bind")).toEqual([["ext4 2", "erofs 1"], "", ["bind"]]);
    expect(summary(false, "mkfs/ext4", "format/mkdir/overlay")).toEqual([["mkfs ext4 1"], "format mkdir overlay", []]);
    expect(summary(false, "format/bind", "bind")).toEqual([[], "format bind", ["bind"]]);
    expect(summary(false, "format/erofs")).toEqual([["format erofs 1"], "", []]);
    expect(summary(true, "bind", "odd/bind")).toEqual([["bind 2", "odd/bind 1"], "", []]);
  });

  test("leaves what the caller says that it makes itself, unless something above needs it", async () => {
    expect(summary(["format/*"], "format/bind", "erofs", "format/overlay")).toEqual([
      ["format bind 2", "erofs 1"],
      "format overlay",
      [],
    ]);
    expect(summary(["erofs"], "erofs", "format/overlay")).toEqual([["erofs 1"], "format overlay", []]);
    expect(summary(["format/overlay", "erofs"], "mkdir/bind", "format/overlay")).toEqual([
      [],
      "mkdir bind",
      ["format/overlay"],
    ]);
    for (const allowed of [
      ["erofs", "format/*"],
      ["erofs", "format/mkdir/overlay", "mkdir/*"],
    ]) {
      const types = ["erofs", "format/mkdir/overlay"].slice(0, allowed.length - 1);
      expect(await failureText(() => summary(allowed, ...types))).toBe("notImplemented: not implemented");
      const mounts = types.map((type) => mount(type));
      expect([needsManager(mounts), needsManager(mounts, new Set(allowed))]).toEqual([true, false]);
    }
    expect(needsManager([mount("bind"), mount("odd/bind")])).toBe(false);
  });

  test("is nothing for the manager where runtimes can do it all", async () => {
    for (const types of [[], ["bind"], ["overlay", "odd/bind"]]) {
      expect(await failureText(() => summary(false, ...types))).toBe("notImplemented: not implemented");
    }
    expect(await failureText(() => summary(true))).toBe("notImplemented: not implemented");
    const many = Array.from({ length: 257 }, () => "bind");
    expect(await failureText(() => summary(false, "format/bind", ...many))).toBe(
      "unknown: too many system mounts (258): maximum 255",
    );
    const out = mount("bind", { target: "a/../../b" });
    expect(await failureText(() => planMounts([out], true))).toBe(
      'invalidArgument: mount target "a/../../b": invalid argument',
    );
  });
});

describe.skipIf(process.getuid?.() !== 0)("MountManager (needs root)", () => {
  const ctx = createCtx({ namespace: "n" });
  const kernel = createKernel();
  let folder: string;
  let metadata: Metadata;
  let manager: MountManager;

  const open = (): MountManager =>
    createMountManager({
      metadata,
      targets: join(folder, "state", "t"),
      roots: [join(folder, "root")],
      log: silentLogger,
    });
  const activate = (name: string, mounts: readonly MountSpec[], more: Partial<ActivationRequest> = {}, by: Ctx = ctx) =>
    manager.activate(by, { name, mounts, labels: new Map(), temporary: false, ...more });
  const bind = (): MountSpec => mount("bind", { source: join(folder, "root", "tree"), options: ["rbind"] });
  const targets = (): string[] => readdirSync(join(folder, "state", "t"));
  const mounted = (): number =>
    readFileSync("/proc/self/mountinfo", "utf8")
      .split("\n")
      .filter((line) => line.includes(` ${folder}/`)).length;

  beforeEach(() => {
    folder = mkdtempSync("/tmp/lighter-mounts-");
    mkdirSync(join(folder, "root", "tree"), { recursive: true });
    writeFileSync(join(folder, "root", "tree", "file"), "here");
    const schemas = [namespacesSchema, leasesSchema, mountsSchema];
    metadata = openMetadata({ path: join(folder, "meta.sqlite"), schemas });
    manager = open();
  });
  afterEach(async () => {
    for (const { name } of await manager.list(ctx, [])) await manager.deactivate(ctx, name);
    await manager[Symbol.asyncDispose]();
    await metadata[Symbol.asyncDispose]();
    expect(mounted()).toBe(0);
    rmSync(folder, { recursive: true, force: true });
  });

  test("makes a filesystem, folders in it and the overlay's options, and takes all of it away", async () => {
    const image = join(folder, "root", "rw.img");
    const info = await activate("a", [
      mount("mkfs/ext4", {
        source: image,
        options: ["X-containerd.mkfs.size=16MiB", "X-containerd.mkfs.fs=ext4", "loop"],
      }),
      mount("format/mkdir/overlay", {
        source: "overlay",
        options: [
          "X-containerd.mkdir.path={{ mount 0 }}/upper:755",
          "X-containerd.mkdir.path={{ mount 0 }}/work:700:1:2",
          "upperdir={{ mount 0 }}/upper",
          "workdir={{ mount 0 }}/work",
          `lowerdir=${join(folder, "root", "tree")}`,
        ],
      }),
    ]);
    const point = join(folder, "state", "t", "1", "1");
    expect(info.active.map(({ type, options, mountPoint }) => [type, options, mountPoint])).toEqual([
      ["ext4", ["loop"], point],
    ]);
    expect(info.system).toEqual([
      mount("overlay", {
        source: "overlay",
        options: [`upperdir=${point}/upper`, `workdir=${point}/work`, `lowerdir=${join(folder, "root", "tree")}`],
      }),
    ]);
    const { mode, uid, gid } = statSync(join(point, "work"));
    expect([mode & 0o777, uid, gid, statSync(join(point, "upper")).mode & 0o777]).toEqual([0o700, 1, 2, 0o755]);
    expect(await manager.info(ctx, "a")).toEqual(info);
    expect(await failureText(() => activate("a", [mount("format/bind")]))).toBe(
      'alreadyExists: mount "a": already exists',
    );
    await manager.deactivate(ctx, "a");
    expect([targets(), statSync(image).size]).toEqual([[], 16 << 20]);
    expect(await failureText(() => manager.info(ctx, "a"))).toBe('notFound: mount "a" not found');
    expect(await failureText(() => manager.deactivate(ctx, "a"))).toBe('notFound: missing mount "a" bucket: not found');
  });

  test("a temporary activation makes everything and leaves one bind", async () => {
    const info = await activate("tmp", [bind()], {
      temporary: true,
      labels: new Map([
        ["k", "v"],
        ["gone", ""],
      ]),
    });
    const point = join(folder, "state", "t", "1", "1");
    expect(readFileSync(join(point, "file"), "utf8")).toBe("here");
    expect([info.system, [...info.labels]]).toEqual([
      [mount("bind", { source: point, options: ["rbind"] })],
      [["k", "v"]],
    ]);
    expect((await manager.list(ctx, ["nonsense=="])).map(({ name }) => name)).toEqual(["tmp"]);
    expect(await manager.list(createCtx({ namespace: "m" }), [])).toEqual([]);
  });

  test("what fails leaves nothing", async () => {
    const outside = join(folder, "root", "out");
    symlinkSync("/tmp", outside);
    const inRoot = (path: string): MountSpec =>
      mount("mkdir/bind", { source: "/", options: [`X-containerd.mkdir.path=${path}`] });
    const texts = await Promise.all(
      [
        () => activate("a", [bind(), mount("bind", { source: "/no/such", options: ["bind"] })], { temporary: true }),
        () => activate("b", [mount("erofs", { source: "/no/such" })]),
        () => activate("c", [inRoot("/etc/x")]),
        () => activate("d", [inRoot(join(outside, "x"))]),
        () => activate("e", [inRoot(`${folder}/root/../../etc/x`)]),
        () => activate("f", [mount("mkfs/ext4", { source: join(folder, "root", "x.img") })]),
        () => activate("g", [mount("mkfs/ext4", { source: "/x.img", options: ["X-containerd.mkfs.size=1M"] })]),
        () => activate("h", [mount("format/bind", { source: "{{ mount 0 }}" })]),
        () => activate("", [mount("format/bind")]),
        () => manager.info(createCtx(), "a"),
      ].map(failureText),
    );
    expect(texts).toEqual([
      expect.stringMatching(/^unknown: mount failed {bind \/no\/such {2}\[bind\]}: mount .*no such file/) as string,
      expect.stringMatching(/^unknown: mount handler failed {erofs \/no\/such {2}\[\]}: .*no such file/) as string,
      'notImplemented: no root "/etc/x" configured for mkdir: not implemented',
      expect.stringMatching(/^unknown: failed to stat .*: invalid cross-device link$/) as string,
      expect.stringMatching(/^unknown: failed to stat .*: invalid cross-device link$/) as string,
      "invalidArgument: mkfs requires mkfs.size option: invalid argument",
      'notImplemented: no root "/x.img" configured for mkfs: not implemented',
      "unknown: index out of bounds: 0, has 0 active mounts",
      "unknown: bucket name required",
      "failedPrecondition: namespace is required: failed precondition",
    ]);
    expect([await manager.list(ctx, []), targets(), existsSync("/tmp/x")]).toEqual([[], [], false]);
  });

  test("garbage collection keeps what a lease or a back reference holds", async () => {
    const leases = createLeaseManager({ metadata });
    await leases.create(ctx, { id: "l", labels: new Map() });
    const tables = [collectableLeases, manager.collectable];
    await using gc = createGarbageCollector({
      metadata,
      tables,
      log: silentLogger,
      config: {
        pauseThreshold: 0.5,
        deletionThreshold: 0,
        mutationThreshold: 0,
        scheduleDelayMs: 0,
        startupDelayMs: 1e6,
      },
    });
    await activate("leased", [bind()], { temporary: true }, createCtx({ namespace: "n", lease: "l" }));
    await activate("loose", [bind()], { temporary: true });
    expect((await gc.collect(ctx)).removed).toEqual(new Map([["mount", 1]]));
    expect([(await manager.list(ctx, [])).map(({ name }) => name), targets()]).toEqual([["leased"], ["1"]]);
    expect(await gc.explain(ctx, { kind: "mount", namespace: "n", key: "leased" })).toMatchObject([
      { node: { kind: "lease", key: "l" } },
      { node: { key: "leased" }, how: "lease" },
    ]);
    await leases.delete(ctx, "l");
    await gc.collect(ctx);
    expect([await manager.list(ctx, []), targets(), mounted()]).toEqual([[], [], 0]);
  });

  test("takes over what is mounted, and clears away what is not, is half made, or is nobody's", async () => {
    const kept = await activate("kept", [bind()], { temporary: true });
    await activate("unmounted", [bind()], { temporary: true });
    await activate("half", [bind()], { temporary: true });
    unmountAll(kernel, join(folder, "state", "t", "2", "1"));
    await metadata.update(({ db }) => void db.run("UPDATE mount_activations SET info = NULL WHERE name = 'half'"));
    mkdirSync(join(folder, "state", "t", "77", "1"), { recursive: true });
    kernel.mount(join(folder, "root", "tree"), join(folder, "state", "t", "77", "1"), "", 4096, "");
    manager = open();
    expect(await manager.list(ctx, [])).toEqual([kept]);
    await manager[Symbol.asyncDispose]();
    expect([targets(), mounted()]).toEqual([["1"], 1]);
  });
});

describe("findActivation", () => {
  test("reads rows that told milliseconds, and keeps nanoseconds", async () => {
    await using opened = openTestMetadata([namespacesSchema, mountsSchema]);
    const { metadata } = opened;
    const id = await metadata.update((tx) => {
      const number = insertActivation(tx, { namespace: "n", name: "a", lease: "", labels: new Map() });
      const earlier = { active: [{ ...mount("bind"), mountPoint: "/m", mountedAtMs: 1_767_323_045_678 }], system: [] };
      tx.db.query("UPDATE mount_activations SET info = ? WHERE id = ?").run(JSON.stringify(earlier), number);
      return number;
    });
    const read = () => metadata.read((db) => findActivation(db, "n", "a")?.activation);
    const mountedAt = Instant.of({ seconds: 1_767_323_045, nanos: 678_000_000 });
    expect(read()?.active).toEqual([{ ...mount("bind"), mountPoint: "/m", mountedAt }]);
    const exact = {
      ...mount("bind"),
      mountPoint: "/m",
      mountedAt: Instant.of({ seconds: 1_767_323_045, nanos: 678_901_234 }),
    };
    const activation = { name: "a", active: [exact], system: [], labels: new Map() };
    await metadata.update((tx) => completeActivation(tx, id, "n", activation));
    expect(read()).toEqual(activation);
  });
});
