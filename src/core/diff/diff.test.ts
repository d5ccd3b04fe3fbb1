import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { createCtx } from "../../lib/ctx.ts";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { Instant } from "../../lib/instant.ts";
import { silentLogger } from "../../lib/log.ts";
import { type Member, tarOf } from "../../lib/tar/testing.ts";
import { createKernel } from "../../sys/index.ts";
import { type ContentStore, contentSchema, openContentStore } from "../content/index.ts";
import { collect, failureOf } from "../content/testing.ts";
import { createExchange } from "../events/index.ts";
import { createLeaseManager, leasesSchema } from "../leases/index.ts";
import { type Metadata, openMetadata } from "../metadata/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import { namespacesSchema } from "../namespaces/index.ts";
import { createDiffer, type Differ } from "./index.ts";

const requiresRoot = process.getuid?.() === 0 ? describe : describe.skip;
const layerType = "application/vnd.oci.image.layer.v1.tar";
const ctx = createCtx({ namespace: "testing" });
const kernel = createKernel();

let folder: string;
let metadata: Metadata;
let content: ContentStore & AsyncDisposable;
let differ: Differ;
let count = 0;

beforeAll(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), "lighter-diff-"));
  metadata = openMetadata({ path: join(folder, "meta.db"), schemas: [namespacesSchema, leasesSchema, contentSchema] });
  content = await openContentStore({
    root: join(folder, "content"),
    metadata,
    exchange: createExchange({ log: silentLogger }),
    leases: createLeaseManager({ metadata }),
    log: silentLogger,
  });
  const limits = { maxEntries: 100_000, maxBytes: 1 << 30 };
  differ = createDiffer({ content, root: join(folder, "mounts"), limits });
});

afterAll(async () => {
  await content[Symbol.asyncDispose]();
  await metadata[Symbol.asyncDispose]();
  fs.rmSync(folder, { recursive: true, force: true });
});

/** A new folder of the test's own. */
function freshFolder(name: string): string {
  const path = join(folder, `${name}-${count++}`);
  fs.mkdirSync(path);
  return path;
}

const bindOf = (source: string): MountSpec[] => [{ type: "bind", source, target: "", options: ["rw", "rbind"] }];

/** An overlay over the lower folders, the nearest first. */
function overlayOf(upper: string, ...lower: string[]): MountSpec[] {
  const options = [`workdir=${freshFolder("work")}`, `upperdir=${upper}`, `lowerdir=${lower.join(":")}`];
  return [{ type: "overlay", source: "overlay", target: "", options }];
}

async function store(bytes: Uint8Array): Promise<Digest> {
  const digest = digestOf(bytes);
  const writer = await content.writer(ctx, { ref: `r${count++}` });
  await writer.write(bytes);
  await failureOf(() => writer.commit(ctx, {}));
  return digest;
}

async function apply(bytes: Uint8Array, mounts: readonly MountSpec[], mediaType = layerType): Promise<Digest> {
  const digest = await store(bytes);
  return (await differ.apply(ctx, { mediaType, digest, sizeBytes: bytes.length }, mounts)).digest;
}

/** What a tree is, file by file. */
function describeTree(root: string): Record<string, string> {
  const inodes = new Map<bigint, string>();
  const found: Record<string, string> = {};
  const visit = (name: string): void => {
    const path = join(root, name);
    const stats = fs.lstatSync(path, { bigint: true });
    const first = stats.isDirectory() ? name : (inodes.get(stats.ino) ?? name);
    inodes.set(stats.ino, first);
    const kind = Number(stats.mode & 0o170000n).toString(8);
    const mode = Number(stats.mode & 0o7777n).toString(8);
    const body = stats.isFile()
      ? digestOf(fs.readFileSync(path)).slice(7, 19)
      : stats.isSymbolicLink()
        ? fs.readlinkSync(path)
        : stats.isDirectory()
          ? ""
          : String(stats.rdev);
    const xattrs = kernel.listXattrs(path).filter((one) => one.startsWith("user.") || one === "security.capability");
    const seconds = stats.mtimeNs / 1_000_000_000n;
    found[name] = [kind, mode, stats.uid, stats.gid, seconds, first, body, ...xattrs].join(" ");
    if (stats.isDirectory()) for (const one of fs.readdirSync(path).sort()) visit(join(name, one));
  };
  for (const one of fs.readdirSync(root).sort()) visit(one);
  return found;
}

requiresRoot("Differ.apply", () => {
  test("makes every kind of file, with owners, modes, times and attributes", async () => {
    const root = freshFolder("root");
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const long = `${"n".repeat(120)}/${"m".repeat(130)}`;
    const bytes = tarOf([
      { name: "d/", kind: "directory", mode: 0o1777, uid: 5, gid: 6, mtime: { seconds: 1_000_000_000, nanos: 0 } },
      {
        name: "d/file",
        mode: 0o4755,
        uid: 3_000_000,
        gid: 7,
        mtime: { seconds: 1_600_000_000, nanos: 123_456_789 },
        data: "x",
      },
      {
        name: "d/cap",
        data: "c",
        xattrs: new Map([
          ["security.capability", capability],
          ["user.note", Buffer.from([0, 255])],
        ]),
      },
      {
        name: "d/hard",
        kind: "hardlink",
        linkName: "d/file",
        mode: 0o4755,
        uid: 3_000_000,
        gid: 7,
        mtime: { seconds: 1_600_000_000, nanos: 123_456_789 },
      },
      { name: "link", kind: "symlink", linkName: "/etc/passwd", mode: 0o777, mtime: { seconds: 5, nanos: 0 } },
      { name: "null", kind: "character", devMajor: 1, devMinor: 3, mode: 0o666 },
      { name: "block", kind: "block", devMajor: 259, devMinor: 300, mode: 0o600 },
      { name: "fifo", kind: "fifo", mode: 0o600 },
      { name: long, data: "long" },
      { name: "odd\xff\xfename", data: "latin" },
      { name: "empty" },
      { name: "old", mtime: { seconds: -100_000, nanos: 0 } },
    ]);
    expect(await apply(bytes, bindOf(root))).toBe(digestOf(bytes));
    expect(fs.lstatSync(join(root, "old"), { bigint: true }).mtimeNs).toBe(-100_000_000_000_000n);
    const file = fs.lstatSync(join(root, "d/file"), { bigint: true });
    expect([file.mode & 0o7777n, file.uid, file.gid, file.mtimeNs, file.nlink]).toEqual([
      0o4755n,
      3_000_000n,
      7n,
      1_600_000_000_123_456_789n,
      2n,
    ]);
    const d = fs.lstatSync(join(root, "d"));
    expect([d.mode & 0o7777, d.uid, d.gid, d.mtimeMs]).toEqual([0o1777, 5, 6, 1_000_000_000_000]);
    expect(kernel.getXattr(join(root, "d/cap"), "security.capability")?.length).toBe(capability.length);
    expect([...(kernel.getXattr(join(root, "d/cap"), "user.note") ?? [])]).toEqual([0, 255]);
    expect([fs.readlinkSync(join(root, "link")), fs.lstatSync(join(root, "link")).mtimeMs]).toEqual([
      "/etc/passwd",
      5000,
    ]);
    expect(fs.lstatSync(join(root, "null")).rdev).toBe(0x103);
    expect(fs.lstatSync(join(root, "block")).isBlockDevice()).toBe(true);
    expect(fs.lstatSync(join(root, "fifo")).isFIFO()).toBe(true);
    expect(fs.readFileSync(join(root, long), "utf8")).toBe("long");
    expect(fs.readFileSync(Buffer.from(`${root}/odd\xff\xfename`, "latin1"), "utf8")).toBe("latin");
    expect(fs.statSync(join(root, "empty")).size).toBe(0);
  });

  test("a further name that says nothing of a file's capability leaves it, as GNU tar writes them", async () => {
    const root = freshFolder("root");
    const capability = Buffer.from("0100000200200000000000000000000000000000", "hex");
    const owner = { uid: 7, gid: 8, mode: 0o755 };
    const xattrs = new Map([["security.capability", capability]]);
    const hard = { name: "b", kind: "hardlink", linkName: "a", ...owner } as const;
    await apply(tarOf([{ name: "a", data: "x", ...owner, xattrs }, hard]), bindOf(root));
    expect(fs.lstatSync(join(root, "b"))).toMatchObject({ nlink: 2, uid: 7, gid: 8 });
    expect([...(kernel.getXattr(join(root, "b"), "security.capability") ?? [])]).toEqual([...capability]);
  });

  test.each([
    ["gzip", `${layerType}+gzip`, gzipSync],
    ["zstd", `${layerType}+zstd`, zstdCompressSync],
    ["gzip by its first bytes", "application/vnd.docker.image.rootfs.diff.tar", gzipSync],
  ])("takes %s", async (_name, mediaType, compress) => {
    const root = freshFolder("root");
    const bytes = tarOf([{ name: "a", data: "z".repeat(3_000_000) }]);
    expect(await apply(compress(bytes), bindOf(root), mediaType)).toBe(digestOf(bytes));
    expect(fs.statSync(join(root, "a")).size).toBe(3_000_000);
  });

  test("hides files of layers below by removing them where they are plainly there", async () => {
    const root = freshFolder("root");
    await apply(
      tarOf([{ name: "a/old" }, { name: "a/kept" }, { name: "b/x" }, { name: "b/y" }, { name: "c" }]),
      bindOf(root),
    );
    await apply(
      tarOf([{ name: "b/new" }, { name: "a/.wh.old" }, { name: "b/.wh..wh..opq" }, { name: ".wh.c" }]),
      bindOf(root),
    );
    expect(Object.keys(describeTree(root))).toEqual(["a", "a/kept", "b", "b/new"]);
  });

  test("hides files of layers below by overlay's marks in an upper folder", async () => {
    const [lower, upper, merged] = [freshFolder("lower"), freshFolder("upper"), freshFolder("merged")];
    await apply(
      tarOf([
        { name: "a/old" },
        { name: "a/kept" },
        { name: "b/x" },
        { name: "c" },
        { name: "dir/in" },
        { name: "tmp/", kind: "directory", mode: 0o1777 },
      ]),
      bindOf(lower),
    );
    const mounts = overlayOf(upper, lower);
    await apply(
      tarOf([
        { name: "a/.wh.old" },
        { name: "b/new" },
        { name: "b/.wh..wh..opq" },
        { name: ".wh.c" },
        { name: ".wh.dir" },
        { name: "dir/", kind: "directory" },
        { name: "dir/out" },
        { name: "tmp/file" },
      ]),
      mounts,
    );
    expect(fs.lstatSync(join(upper, "c")).isCharacterDevice()).toBe(true);
    kernel.mount("overlay", merged, "overlay", 0, (mounts[0] as MountSpec).options.join(","));
    try {
      expect(Object.keys(describeTree(merged))).toEqual([
        "a",
        "a/kept",
        "b",
        "b/new",
        "dir",
        "dir/out",
        "tmp",
        "tmp/file",
      ]);
      expect(fs.statSync(join(merged, "tmp")).mode & 0o7777).toBe(0o1777);
    } finally {
      kernel.unmount(merged, 0);
    }
  });

  test("replaces files and folders by each other, and goes through links inside the tree", async () => {
    const root = freshFolder("root");
    await apply(
      tarOf([
        { name: "usr/lib/", kind: "directory" },
        { name: "lib", kind: "symlink", linkName: "/usr/lib" },
        { name: "lib/one", data: "1" },
        { name: "x/inner" },
        { name: "x", data: "file now" },
        { name: "y", data: "file" },
        { name: "y/", kind: "directory" },
        { name: "y/z" },
        { name: "dangling", kind: "symlink", linkName: "../made/here" },
        { name: "dangling/file" },
      ]),
      bindOf(root),
    );
    expect(fs.readFileSync(join(root, "usr/lib/one"), "utf8")).toBe("1");
    expect(fs.readFileSync(join(root, "x"), "utf8")).toBe("file now");
    expect(fs.existsSync(join(root, "y/z"))).toBe(true);
    expect(fs.existsSync(join(root, "made/here/file"))).toBe(true);
  });

  const outside = "/tmp/lighter-outside-of-every-tree";
  const escapes: readonly (readonly [string, readonly Member[]])[] = [
    ["a name that goes up", [{ name: "../../../../../../tmp/lighter-outside-of-every-tree" }]],
    ["a hard link that goes up", [{ name: "h", kind: "hardlink", linkName: "../../../../etc/passwd" }]],
    ["a hard link to nothing", [{ name: "h", kind: "hardlink", linkName: "etc/passwd" }]],
    ["a whiteout of its folder's parent", [{ name: "a/.wh..." }]],
    ["links that go round", [{ name: "l", kind: "symlink", linkName: "l" }, { name: "l/x" }]],
    ["a file as a folder", [{ name: "f" }, { name: "f/x" }]],
  ];
  test.each(escapes)("refuses %s, naming the layer and the entry", async (_name, members) => {
    const root = freshFolder("root");
    const bytes = tarOf(members);
    const failure = await failureOf(() => apply(bytes, bindOf(root)));
    expect(failure.kind).toBe("invalidArgument");
    expect(failure.message).toStartWith(
      `apply layer ${digestOf(bytes)}: entry ${JSON.stringify(members.at(-1)?.name)}: `,
    );
    expect(fs.existsSync(outside)).toBe(false);
  });

  test("keeps inside what a link leads outside", async () => {
    const root = freshFolder("root");
    await apply(
      tarOf([
        { name: "abs", kind: "symlink", linkName: "/tmp" },
        { name: "abs/lighter-outside-of-every-tree" },
        { name: "up", kind: "symlink", linkName: "../../../../../../../tmp" },
        { name: "up/lighter-outside-of-every-tree" },
        { name: "/tmp/absolute" },
      ]),
      bindOf(root),
    );
    expect(fs.existsSync(outside)).toBe(false);
    expect(fs.readdirSync(join(root, "tmp")).sort()).toEqual(["absolute", "lighter-outside-of-every-tree"]);
  });

  test("stops at its limits", async () => {
    const small = createDiffer({ content, root: join(folder, "mounts"), limits: { maxEntries: 2, maxBytes: 1 << 20 } });
    for (const [bytes, text] of [
      [tarOf([{ name: "1" }, { name: "2" }, { name: "3" }]), 'entry "3": more than 2 entries'],
      [
        gzipSync(tarOf([{ name: "zeros", data: "\0".repeat(5 << 20) }])),
        'entry "zeros": more than 1048576 bytes of files',
      ],
    ] as const) {
      const layer = { mediaType: `${layerType}+gzip`, digest: await store(bytes), sizeBytes: bytes.length };
      const failure = await failureOf(() => small.apply(ctx, layer, bindOf(freshFolder("root"))));
      expect(failure).toEqual({ kind: "resourceExhausted", message: expect.stringContaining(text) });
    }
  });

  test("refuses what is cut short or damaged", async () => {
    const whole = tarOf([{ name: "file", data: "x".repeat(5000) }]);
    const zipped = gzipSync(whole);
    const damaged = Buffer.from(whole);
    damaged[0] = 0x42;
    for (const bytes of [whole.subarray(0, 2000), zipped.subarray(0, zipped.length - 20), damaged]) {
      const root = freshFolder("root");
      const failure = await failureOf(() => apply(bytes, bindOf(root), "application/vnd.docker.image.rootfs.diff.tar"));
      expect(failure.kind).toBe("invalidArgument");
    }
  });

  test("ends with its caller", async () => {
    const bytes = tarOf(Array.from({ length: 20_000 }, (_, index) => ({ name: `f${index}` })));
    const digest = await store(bytes);
    const stop = new AbortController();
    const stopping = createCtx({ namespace: "testing", signal: stop.signal });
    const layer = { mediaType: layerType, digest, sizeBytes: bytes.length };
    const applying = differ.apply(stopping, layer, bindOf(freshFolder("root")));
    setTimeout(() => stop.abort(new Error("stopped")), 60);
    const ended = await applying.then(
      () => "applied",
      (error: unknown) => String(error),
    );
    expect(ended).toContain("stopped");
  });

  test("names a media type that is no layer's", async () => {
    const failure = await failureOf(() => apply(tarOf([]), bindOf(freshFolder("root")), "text/plain"));
    expect(failure.message).toContain("no processor for media-type");
  });
});

/** A tree of many files of every kind. */
function growTree(root: string, files: number): void {
  for (let index = 0; index < files; index++) {
    const dir = join(root, `d${index % 37}`, `e${index % 11}`);
    fs.mkdirSync(dir, { recursive: true });
    const path = join(dir, `f${index}`);
    switch (index % 10) {
      case 0:
        fs.symlinkSync(`../f${index - 1}`, path);
        break;
      case 1:
        kernel.mknod(path, fs.constants.S_IFIFO | 0o600, 0, 0);
        break;
      case 2:
        kernel.mknod(path, fs.constants.S_IFCHR | 0o620, 5, index % 256);
        break;
      case 3:
        fs.writeFileSync(path, "hard");
        fs.linkSync(path, join(dir, `link${index}`));
        break;
      default:
        fs.writeFileSync(path, `${index} `.repeat(index % 500));
        if (index % 7 === 0) fs.chownSync(path, index, 2_200_000 + index);
        if (index % 5 === 0) fs.chmodSync(path, 0o6711);
        if (index % 9 === 0) kernel.setXattr(path, "user.note", Buffer.from(`n${index}`));
    }
  }
}

requiresRoot("Differ.compare", () => {
  test("what it writes makes the same tree elsewhere, of thousands of files of every kind", async () => {
    const [lower, target] = [freshFolder("lower"), freshFolder("target")];
    const upper = freshFolder("upper");
    growTree(lower, 2500);
    const first = await differ.compare(ctx, [], bindOf(lower), { mediaType: layerType });
    await differ.apply(ctx, first, bindOf(target));
    expect(describeTree(target)).toEqual(describeTree(lower));
    // Change it through an overlay, and bring the changes over.
    const mounts = overlayOf(upper, lower);
    const merged = freshFolder("merged");
    kernel.mount("overlay", merged, "overlay", 0, (mounts[0] as MountSpec).options.join(","));
    try {
      fs.rmSync(join(merged, "d3"), { recursive: true });
      fs.rmSync(join(merged, "d4"), { recursive: true });
      fs.mkdirSync(join(merged, "d4"));
      fs.writeFileSync(join(merged, "d4/new"), "new");
      fs.chmodSync(join(merged, "d5"), 0o700);
      growTree(join(merged, "d6"), 300);
      fs.rmSync(join(merged, "d7/e0"), { recursive: true, force: true });
      fs.writeFileSync(join(merged, "d7/e0"), "a file where a folder was");
      const second = await differ.compare(ctx, bindOf(lower), mounts);
      await differ.apply(ctx, second, bindOf(target));
      expect(describeTree(target)).toEqual(describeTree(merged));
      expect(content.info(ctx, second.digest).labels.has("containerd.io/uncompressed")).toBe(true);
    } finally {
      kernel.unmount(merged, 0);
    }
  }, 60_000);

  test("is stable, compresses as asked, and keeps to the source date", async () => {
    const root = freshFolder("root");
    fs.writeFileSync(join(root, "file"), "x".repeat(100_000));
    const digests = new Set<string>();
    for (let round = 0; round < 2; round++) {
      for (const mediaType of [layerType, `${layerType}+gzip`, `${layerType}+zstd`]) {
        const layer = await differ.compare(ctx, [], bindOf(root), { mediaType, sourceDate: Instant.ofMs(1_000_000) });
        digests.add(layer.digest);
        const target = freshFolder("target");
        await differ.apply(ctx, layer, bindOf(target));
        expect(fs.statSync(join(target, "file")).mtimeMs).toBe(1_000_000);
      }
    }
    expect(digests.size).toBe(3);
    const failure = await failureOf(() => differ.compare(ctx, [], [], { mediaType: "text/plain" }));
    expect(failure).toEqual({
      kind: "notImplemented",
      message: "unsupported diff media type: text/plain: not implemented",
    });
    expect(await content.listStatuses(ctx, [])).toEqual([]);
  });

  test("an empty difference is an empty archive", async () => {
    const root = freshFolder("root");
    fs.writeFileSync(join(root, "same"), "x");
    const layer = await differ.compare(ctx, bindOf(root), bindOf(root), { mediaType: layerType });
    expect(await collect(content.read(ctx, layer.digest))).toEqual(Buffer.alloc(1024));
  });
});
