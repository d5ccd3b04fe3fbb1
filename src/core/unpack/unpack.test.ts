import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { Digest } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import { tarOf } from "../../lib/tar/testing.ts";
import type { Differ } from "../diff/index.ts";
import { chainIds } from "../oci/index.ts";
import { createUnpacker, type LayerSource, type LayerTee, type UnpackTarget } from "./index.ts";
import { createImageBed, type ImageBed, imageOf, lookInto, type MadeImage, putBlob } from "./testing.ts";

const requiresRoot = process.getuid?.() === 0 ? describe : describe.skip;

let bed: ImageBed;
beforeAll(async () => {
  bed = await createImageBed();
});
afterAll(() => bed[Symbol.asyncDispose]());

let count = 0;

/** Brings layers as a registry would, piece by piece; counts what it was asked for. */
function arriving(image: MadeImage, pieceBytes = 400): LayerSource & { readonly asked: Descriptor[]; teed: number } {
  const source = {
    asked: [] as Descriptor[],
    teed: 0,
    fetch: async (_ctx: unknown, layer: Descriptor, tee: LayerTee | undefined) => {
      source.asked.push(layer);
      const bytes = image.blobs.get(layer.digest) as Uint8Array;
      const file = join(bed.folder, `arriving-${count++}`);
      fs.writeFileSync(file, "");
      tee?.begin(0, file);
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        await Bun.sleep(0);
        fs.appendFileSync(file, bytes.subarray(at, at + pieceBytes));
        if (tee !== undefined) {
          tee.grown(Math.min(bytes.length, at + pieceBytes));
          source.teed++;
        }
      }
      fs.rmSync(file);
      await putBlob(bed, bytes);
    },
  };
  return source;
}

const folderEntry = (name: string, mode = 0o755) => ({ name, kind: "directory" as const, mode });
const topOf = (image: MadeImage): string => {
  const config = JSON.parse(Buffer.from(image.blobs.get(image.config.digest) as Uint8Array).toString());
  return chainIds(config.rootfs.diff_ids).at(-1) ?? "";
};

async function unpack(image: MadeImage, target: UnpackTarget, source: LayerSource = arriving(image)): Promise<boolean> {
  await putBlob(bed, image.blobs.get(image.config.digest) as Uint8Array);
  return createUnpacker({ content: bed.content }).unpack(bed.ctx, image, [target], source);
}

async function failureOf(action: () => Promise<unknown>): Promise<string> {
  try {
    await action();
    return "";
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

/** Five layers that replace, hide and fill in what is below; different each time. */
function layered(): MadeImage {
  const mark = `image ${count++}`;
  return imageOf([
    tarOf([
      folderEntry("etc", 0o750),
      { name: "etc/a", data: `1 ${mark}` },
      folderEntry("tmp", 0o1777),
      folderEntry("gone"),
    ]),
    tarOf([
      { name: "etc/b", data: "2" },
      { name: "gone/inner", data: "x" },
    ]),
    tarOf([{ name: ".wh.gone" }, { name: "etc/a", data: "3" }, { name: "tmp/deep/file", data: "4" }]),
    tarOf([folderEntry("etc/sub"), { name: "etc/.wh.b" }]),
    tarOf([{ name: "big", data: "y".repeat(200_000) }]),
  ]);
}

const looks = (folder: string): Record<string, unknown> => ({
  top: fs.readdirSync(folder).toSorted(),
  etc: fs.readdirSync(join(folder, "etc")).toSorted(),
  a: fs.readFileSync(join(folder, "etc/a"), "utf8"),
  deep: fs.readFileSync(join(folder, "tmp/deep/file"), "utf8"),
  modes: ["etc", "tmp", "tmp/deep"].map((name) => (fs.statSync(join(folder, name)).mode & 0o7777).toString(8)),
});
const expected = {
  top: ["big", "etc", "tmp"],
  etc: ["a", "sub"],
  a: "3",
  deep: "4",
  modes: ["750", "1777", "755"],
};

requiresRoot("createUnpacker", () => {
  test.each(["overlay", "native"] as const)("makes the same tree on %s, layers arriving at once", async (kind) => {
    const image = layered();
    const source = arriving(image);
    expect(await unpack(image, bed[kind], source)).toBe(true);
    expect(await lookInto(bed, bed[kind], topOf(image), looks)).toEqual(expected);
    expect(source.asked.length).toBe(5);
    expect(source.teed).toBeGreaterThan(0);
    const { labels } = bed.content.info(bed.ctx, image.config.digest);
    expect(labels.get(`containerd.io/gc.ref.snapshot.${bed[kind].snapshotter.name}`)).toBe(topOf(image));
    const layer = image.layers[1] as Descriptor;
    expect(bed.content.info(bed.ctx, layer.digest).labels.get("containerd.io/uncompressed")).toMatch(/^sha256:/);
  });

  test("asks for nothing when the snapshots are there", async () => {
    const image = layered();
    await unpack(image, bed.overlay);
    const again = arriving(image);
    await unpack(image, bed.overlay, again);
    expect(again.asked).toEqual([]);
  });

  test("counts what the snapshots take", async () => {
    const image = layered();
    await unpack(image, bed.overlay);
    const { snapshotter } = bed.overlay;
    const usage = await snapshotter.usage(bed.ctx, topOf(image));
    expect(usage.inodes).toBe(2);
    expect(usage.sizeBytes).toBeGreaterThanOrEqual(200_000);
  });

  test("unpacks a layer that is there twice", async () => {
    const layer = tarOf([{ name: `twice-${count++}`, data: "x" }]);
    const image = imageOf([layer, layer]);
    const source = arriving(image);
    await unpack(image, bed.overlay, source);
    expect(source.asked.length).toBe(1);
    expect(bed.overlay.snapshotter.stat(bed.ctx, topOf(image)).kind).toBe("committed");
  });

  test("unpacks the same image once for two who ask at once", async () => {
    const image = layered();
    await putBlob(bed, image.blobs.get(image.config.digest) as Uint8Array);
    const unpacker = createUnpacker({ content: bed.content });
    const sources = [arriving(image), arriving(image)];
    await Promise.all(sources.map((source) => unpacker.unpack(bed.ctx, image, [bed.overlay], source)));
    expect(sources.map((source) => source.asked.length).toSorted((a, b) => a - b)).toEqual([0, 5]);
  });

  test.each([true, false])("unpacks no more layers at once than it may; while they arrive: %p", async (stream) => {
    const image = imageOf(Array.from({ length: 6 }, (_, n) => tarOf([{ name: `f${n}`, data: `${count++}` }])));
    await putBlob(bed, image.blobs.get(image.config.digest) as Uint8Array);
    let [active, most] = [0, 0];
    const counting = (differ: Differ): Differ => ({
      compare: (...given) => differ.compare(...given),
      settle: (...given) => (differ.settle as NonNullable<Differ["settle"]>)(...given),
      takesStream: (mediaType) => stream && differ.takesStream?.(mediaType) === true,
      apply: async (...given) => {
        active++;
        most = Math.max(most, active);
        try {
          return await differ.apply(...given);
        } finally {
          active--;
        }
      },
    });
    const target = { ...bed.overlay, differ: counting(bed.differ) };
    const unpacker = createUnpacker({ content: bed.content, maxUnpacks: 2 });
    expect(await unpacker.unpack(bed.ctx, image, [target], arriving(image))).toBe(true);
    expect(most).toBe(2);
    expect((await lookInto(bed, bed.overlay, topOf(image), (folder) => fs.readdirSync(folder))).length).toBe(6);
  });

  test("keeps what was done below a broken layer, and names it with its entry", async () => {
    const image = imageOf([
      tarOf([{ name: "good", data: `${count++}` }]),
      tarOf([{ name: "../evil", data: "x" }]),
      tarOf([{ name: "late", data: "x" }]),
    ]);
    const before = bed.overlay.snapshotter.list(bed.ctx, []).length;
    const lowest = Promise.withResolvers<void>();
    const { differ } = bed.overlay;
    const watched: Differ = {
      compare: differ.compare.bind(differ),
      takesStream: () => true,
      settle: async (ctx, mounts, options) => differ.settle?.(ctx, mounts, options),
      apply: async (ctx, layer, mounts, options) => {
        const applied = await differ.apply(ctx, layer, mounts, options);
        if (layer.digest === image.layers[0]?.digest) lowest.resolve();
        return applied;
      },
    };
    const source: LayerSource = {
      fetch: async (ctx, layer, tee) => {
        if (layer === image.layers[1]) await lowest.promise;
        await arriving(image).fetch(ctx, layer, tee);
      },
    };
    const message = await failureOf(() => unpack(image, { ...bed.overlay, differ: watched }, source));
    expect(message).toStartWith("failed to extract layer (application/vnd.oci.image.layer.v1.tar+gzip sha256:");
    expect(message).toContain(image.layers[1]?.digest ?? "?");
    expect(message).toContain('entry "../evil": name leads out of the layer');
    const after = bed.overlay.snapshotter.list(bed.ctx, []);
    expect(after.length - before).toBe(1);
    expect(after.filter(({ kind }) => kind !== "committed")).toEqual([]);
  });

  test("tells of a source that fails, and leaves nothing half made", async () => {
    const image = layered();
    const before = bed.overlay.snapshotter.list(bed.ctx, []).length;
    const broken: LayerSource = {
      fetch: async (ctx, layer, tee) => {
        if (layer === image.layers[2]) throw fault("unavailable", "the registry is gone");
        await arriving(image).fetch(ctx, layer, tee);
      },
    };
    expect(await failureOf(() => unpack(image, bed.overlay, broken))).toBe("the registry is gone: unavailable");
    const after = bed.overlay.snapshotter.list(bed.ctx, []);
    expect(after.filter(({ kind }) => kind !== "committed")).toEqual([]);
    expect(after.length - before).toBeLessThanOrEqual(2);
  });

  test("unpacks anew what began anew, into an empty snapshot", async () => {
    const image = imageOf([tarOf([{ name: "right", data: `${count++}` }])]);
    const wrong = imageOf([tarOf([{ name: "wrong", data: "x".repeat(5000) }])]);
    const bytesOf = (of: MadeImage): Uint8Array => of.blobs.get(of.layers[0]?.digest as Digest) as Uint8Array;
    const source: LayerSource = {
      fetch: async (ctx, layer, tee) => {
        const file = join(bed.folder, "wrong");
        fs.writeFileSync(file, bytesOf(wrong));
        tee?.begin(0, file);
        tee?.grown(bytesOf(wrong).length);
        await arriving(image).fetch(ctx, layer, tee);
      },
    };
    await unpack(image, bed.overlay, source);
    expect(await lookInto(bed, bed.overlay, topOf(image), (folder) => fs.readdirSync(folder))).toEqual(["right"]);
    expect(bed.overlay.snapshotter.list(bed.ctx, []).filter(({ kind }) => kind !== "committed")).toEqual([]);
  });

  test("refuses a config that lies about a layer", async () => {
    const image = imageOf([tarOf([{ name: "x", data: `${count++}` }])]);
    const config = JSON.parse(Buffer.from(image.blobs.get(image.config.digest) as Uint8Array).toString());
    config.rootfs.diff_ids = [`sha256:${"0".repeat(64)}`];
    const digest = await putBlob(bed, Buffer.from(JSON.stringify(config)));
    const lying = { ...image, config: { ...image.config, digest } };
    const unpacker = createUnpacker({ content: bed.content });
    expect(await failureOf(() => unpacker.unpack(bed.ctx, lying, [bed.overlay], arriving(image)))).toContain(
      "wrong diff id",
    );
    config.rootfs.diff_ids = [];
    const none = {
      ...lying,
      config: { ...image.config, digest: await putBlob(bed, Buffer.from(JSON.stringify(config))) },
    };
    expect(await failureOf(() => unpacker.unpack(bed.ctx, none, [bed.overlay], arriving(image)))).toContain(
      "number of layers and diffIDs don't match: 1 != 0",
    );
  });

  test("only fetches what no target is for", async () => {
    const image = layered();
    const source = arriving(image);
    const elsewhere = { ...bed.overlay, platform: { matches: () => false, compare: () => 0 } };
    expect(await unpack(image, elsewhere, source)).toBe(false);
    expect(source.asked.length).toBe(5);
    expect(source.teed).toBe(0);
  });
});
