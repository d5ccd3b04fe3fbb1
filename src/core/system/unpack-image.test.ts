import { expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.ts";
import { type UnpackRequest, UnpackRequestSchema } from "../../gen/lighter/system/v1/system_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { type Digest, digestOf } from "../../lib/digest.ts";
import { invalidArgument } from "../../lib/faults.ts";
import type { ImageUnpacker } from "./system.ts";
import { unpackImage } from "./unpack-image.ts";

const ctx = createCtx({ namespace: "testing", lease: "kept" });
const [config, one, two] = ["config", "one", "two"].map((text) => digestOf(text)) as [Digest, Digest, Digest];
const described = (digest: string) => ({ mediaType: "m", digest, size: 100n });
const request: UnpackRequest = create(UnpackRequestSchema, {
  config: described(config),
  layers: [described(one), described(two)],
  snapshotter: "overlayfs",
});
const layer = (digest: Digest) => ({ mediaType: "m", digest, sizeBytes: 100 });

async function all(unpack: ImageUnpacker["unpack"]): Promise<readonly string[]> {
  const told: string[] = [];
  try {
    for await (const step of unpackImage(ctx, { unpack }, request)) {
      told.push(`${step.layer === one ? "one" : "two"} ${step.offset}${step.done === true ? " done" : ""}`);
    }
  } catch (error) {
    told.push(String(error));
  }
  return told;
}

test("tells of each layer what is newest, and ends with the unpacking", async () => {
  const told = await all(async (of, { layers }, snapshotter, progress) => {
    expect([of.lease, of.namespace, layers.length, snapshotter]).toEqual(["kept", "testing", 2, "overlayfs"]);
    progress?.extracting?.(layer(one), 10);
    progress?.extracting?.(layer(one), 20);
    await Bun.sleep(0);
    progress?.extracting?.(layer(two), 5);
    progress?.extracted?.(layer(one));
    progress?.extracted?.(layer(two));
  });
  expect(told).toContain("two 100 done");
  expect(told).toContain("one 100 done");
  expect(told.length).toBeLessThanOrEqual(5);
});

test("fails as the unpacking does, after what was told before", async () => {
  const told = await all(async (_ctx, _image, _snapshotter, progress) => {
    progress?.extracting?.(layer(one), 10);
    throw invalidArgument("wrong diff id");
  });
  expect(told).toEqual(["one 10", expect.stringContaining("wrong diff id")]);
});

test("ends with a client that leaves", async () => {
  let ended = false;
  const unpack: ImageUnpacker["unpack"] = async (of, _image, _snapshotter, progress) => {
    progress?.extracting?.(layer(one), 10);
    await new Promise<void>((resolve) => of.signal.addEventListener("abort", () => resolve()));
    ended = true;
    of.signal.throwIfAborted();
  };
  for await (const _ of unpackImage(ctx, { unpack }, request)) break;
  expect(ended).toBe(true);
});

test("refuses an image without a config, and digests that are none", async () => {
  const unpack: ImageUnpacker["unpack"] = () => Promise.reject(new Error("not to be asked"));
  const failure = async (changed: Partial<UnpackRequest>): Promise<string> =>
    unpackImage(ctx, { unpack }, { ...request, ...changed })
      .next()
      .then(String, String);
  expect(await failure({ config: undefined })).toContain("without a config");
  const malformed = create(DescriptorSchema, described("sha256:x"));
  expect(await failure({ layers: [malformed] })).toContain("digest");
});
