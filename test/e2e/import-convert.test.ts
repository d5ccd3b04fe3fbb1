import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, runOk, sharedDaemon, writeBusyboxImage } from "../support/index.ts";

const shared = sharedDaemon();

async function layerTypes(folder: string, archive: string): Promise<string[]> {
  const into = path.join(folder, `layout-${crypto.randomUUID()}`);
  await fs.mkdir(into);
  await runOk(["tar", "xf", archive, "-C", into]);
  const read = async (
    digest: string,
  ): Promise<{ layers?: { mediaType: string }[]; manifests?: { digest: string }[] }> =>
    JSON.parse(await fs.readFile(path.join(into, "blobs/sha256", digest.slice("sha256:".length)), "utf8"));
  const index = JSON.parse(await fs.readFile(path.join(into, "index.json"), "utf8"));
  let document = await read(index.manifests[0].digest);
  if (document.manifests !== undefined) document = await read(document.manifests[0]?.digest ?? "");
  return (document.layers ?? []).map(({ mediaType }) => mediaType);
}

describe("ctr images", () => {
  shared.test("convert uncompresses the layers and makes docker's types OCI's", async (daemon) => {
    const { folder } = daemon.workspace;
    await daemon.ctrOk(["images", "convert", "--uncompress", "--oci", busyboxImage, "lighter.test/plain:1"]);
    const archive = path.join(folder, "plain.tar");
    await daemon.ctrOk(["images", "export", archive, "lighter.test/plain:1"]);
    const type = "application/vnd.oci.image.layer.v1.tar";
    expect(await layerTypes(folder, archive)).toEqual([type, type]);
    expect(await daemon.ctrOk(["images", "check", "name==lighter.test/plain:1"])).toContain("complete");
    await daemon.ctrOk(["images", "rm", "lighter.test/plain:1"]);
  });

  shared.test("import names images by a base and by digest", async (daemon) => {
    const { folder } = daemon.workspace;
    const file = await writeBusyboxImage(path.join(folder, "packed.tar"), "lighter.test/packed:1");
    await daemon.ctrOk(["images", "import", "--no-unpack", "--base-name", "lighter.test/based", "--digests", file]);
    expect(await daemon.ctrOk(["images", "ls", "-q"])).toContain("lighter.test/based@sha256:");
    const names = (await daemon.ctrOk(["images", "ls", "-q"])).split("\n").filter((name) => /packed|based/.test(name));
    await daemon.ctrOk(["images", "rm", ...names]);
  });
});
