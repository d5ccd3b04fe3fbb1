import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import * as fs from "node:fs";
import { join } from "node:path";
import { messageOf } from "../../lib/faults.ts";
import { tarOf } from "../../lib/tar/testing.ts";
import { createImageBed, type ImageBed, putBlob } from "../unpack/testing.ts";
import { createDiffer } from "./index.ts";
import { defaultProcessors, processorChain, type StreamProcessorConfig } from "./processors.ts";

const layer = "application/vnd.oci.image.layer.v1.tar";
const requiresRoot = process.getuid?.() === 0 ? describe : describe.skip;

describe("processorChain", () => {
  test("follows one program with the next, and is not led in circles", () => {
    const program = (from: string, to: string): StreamProcessorConfig => {
      return { accepts: [from], returns: to, path: `${from}-${to}`, args: [], env: [] };
    };
    const configs = new Map([
      ["1", program("a", "b")],
      ["2", program("b", "c")],
    ]);
    const { processors, mediaType } = processorChain(configs, "a", new Map());
    expect(processors.map(({ path }) => path)).toEqual(["a-b", "b-c"]);
    expect(mediaType).toBe("c");
    configs.set("3", program("c", "a"));
    expect(processorChain(configs, "a", new Map()).processors.length).toBe(8);
  });

  test("decrypts as containerd does without being told", () => {
    const { processors, mediaType } = processorChain(defaultProcessors, `${layer}+gzip+encrypted`, new Map());
    expect(processors.map(({ path }) => path)).toEqual(["ctd-decoder"]);
    expect(mediaType).toBe(`${layer}+gzip`);
    expect(processorChain(defaultProcessors, `${layer}+gzip`, new Map()).processors).toEqual([]);
  });
});

requiresRoot("a layer with processors", () => {
  let bed: ImageBed;
  beforeAll(async () => {
    bed = await createImageBed();
  });
  afterAll(() => bed[Symbol.asyncDispose]());

  const apply = async (script: string, bytes: Uint8Array, payload?: string): Promise<string> => {
    const target = fs.mkdtempSync(join(bed.folder, "target-"));
    const program = { returns: layer, path: "sh", args: ["-c", script], env: ["FLAG=barge"] };
    const differ = createDiffer({
      content: bed.content,
      root: join(bed.folder, "processing"),
      processors: new Map([["p", { ...program, accepts: ["application/x.secret"] }]]),
    });
    expect(differ.takesStream?.("application/x.secret")).toBe(false);
    const digest = await putBlob(bed, bytes);
    const mounts = [{ type: "bind", source: target, target: "", options: ["rw", "rbind"] }];
    const payloads = payload === undefined ? undefined : new Map([["p", Buffer.from(payload)]]);
    const descriptor = { mediaType: "application/x.secret", digest, sizeBytes: bytes.length };
    try {
      await differ.apply(bed.ctx, descriptor, mounts, { payloads });
      return fs.readdirSync(target).join(" ");
    } catch (error) {
      return messageOf(error);
    }
  };
  const rotated = (bytes: Uint8Array): Buffer => Buffer.from(bytes.map((byte) => (byte + 1) & 0xff));
  const unrotate = "perl -pe 'BEGIN { binmode STDIN; binmode STDOUT } s/(.)/chr((ord($1) + 255) & 255)/ges'";

  test("goes through the program, which sees its type and environment", async () => {
    const check = '[ "$STREAM_PROCESSOR_MEDIATYPE $FLAG" = "application/x.secret barge" ] || exit 9';
    expect(await apply(`${check}; ${unrotate}`, rotated(tarOf([{ name: "inside", data: "x".repeat(300_000) }])))).toBe(
      "inside",
    );
  });

  test("hands the program its payload", async () => {
    const check = '[ "$(cat <&3)" = "the key" ] || exit 9';
    expect(await apply(`${check}; cat`, tarOf([{ name: "keyed" }]), "the key")).toBe("keyed");
  });

  test("fails with what the program says", async () => {
    expect(await apply("echo no key >&2; cat; exit 4", tarOf([{ name: "x" }]))).toEndWith(
      "stream processor sh: no key",
    );
  });
});
