import { describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { createResolver, type Descriptor } from "../../src/core/remotes/index.ts";
import { createCtx } from "../../src/lib/ctx.ts";
import { digestOf } from "../../src/lib/digest.ts";
import { daemonNeeds, missing, runOk, startDaemon } from "../support/index.ts";
import { startRegistry } from "../support/registry.ts";

/** By how much the daemon's own memory may grow while it pulls, whatever the size of the image. */
const maxGrowthBytes = 32 * 1024 * 1024;
const layerBytes = 48 * 1024 * 1024;
const layerCount = 5;

const reason = missing([...daemonNeeds(), "ours", "registry"]);
const suite = reason === undefined ? describe : describe.skip;

suite(`the daemon's memory${reason === undefined ? "" : ` [${reason}]`}`, () => {
  test("grows little while it pulls, and does not depend on what it pulls", async () => {
    await using daemon = await startDaemon();
    await using registry = await startRegistry({ folder: path.join(daemon.workspace.folder, "registry") });
    const reference = `${registry.host}/large:1`;
    await pushLargeImage(reference);
    const program = path.join(import.meta.dir, "../../bin/lighter");
    const LIGHTER_DATA = path.join(daemon.workspace.folder, "data");
    const env = { CONTAINERD_ADDRESS: daemon.address, CONTAINERD_NAMESPACE: daemon.namespace, LIGHTER_DATA };
    const before = await ownBytes(daemon.pid);
    let most = before;
    const watch = setInterval(() => {
      void ownBytes(daemon.pid).then((now) => {
        most = Math.max(most, now);
      });
    }, 10);
    const answer = JSON.parse(await runOk([program, "pull", "--no-unpack", "--quiet", "--json", reference], { env }));
    clearInterval(watch);
    expect(answer[0].fetchedBytes).toBeGreaterThan(layerBytes * layerCount);
    expect(most - before).toBeLessThan(maxGrowthBytes);
    await runOk([program, "rmi", reference], { env });
  }, 120_000);
});

/** What is the process's alone. Code that it runs again after a rest is in the page cache, and comes and goes with that. */
async function ownBytes(pid: number): Promise<number> {
  const status = await fs.readFile(`/proc/${pid}/status`, "utf8");
  return Number(/RssAnon:\s+(\d+)/.exec(status)?.[1]) * 1024;
}

async function pushLargeImage(reference: string): Promise<void> {
  const ctx = createCtx();
  const pusher = await createResolver().pusher(ctx, reference);
  const put = async (mediaType: string, bytes: Uint8Array): Promise<Descriptor> => {
    const descriptor = { mediaType, digest: digestOf(bytes), sizeBytes: bytes.length };
    const read = async function* (from: number): AsyncGenerator<Uint8Array> {
      for (let at = from; at < bytes.length; at += 1 << 20) yield bytes.subarray(at, at + (1 << 20));
    };
    await pusher.push(ctx, descriptor, { read });
    return descriptor;
  };
  const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
  const entry = ({ mediaType, digest, sizeBytes }: Descriptor): unknown => ({ mediaType, digest, size: sizeBytes });
  const layer = new Uint8Array(layerBytes);
  for (let at = 0; at < layer.length; at += 65_536) crypto.getRandomValues(layer.subarray(at, at + 65_536));
  const layers: Descriptor[] = [];
  for (let i = 0; i < layerCount; i++) {
    layer[0] = i;
    layers.push(await put("application/vnd.oci.image.layer.v1.tar", layer));
  }
  const rootfs = { type: "layers", diff_ids: layers.map(({ digest }) => digest) };
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const config = await put("application/vnd.oci.image.config.v1+json", json({ os: "linux", architecture, rootfs }));
  const mediaType = "application/vnd.oci.image.manifest.v1+json";
  await put(mediaType, json({ schemaVersion: 2, mediaType, config: entry(config), layers: layers.map(entry) }));
}
