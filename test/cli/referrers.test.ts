import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { busyboxImage, missing, sharedDaemon } from "../support/index.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { lighter, lighterOk } from "./support.ts";

const needs = ["ours", "registry"] as const;
const manifestType = "application/vnd.oci.image.manifest.v1+json";
const indexType = "application/vnd.oci.image.index.v1+json";

let registry: Registry;
let folder = "";
if (missing(needs) === undefined) {
  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), "lt-referrers-"));
    registry = await startRegistry({ folder });
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await fs.rm(folder, { recursive: true, force: true });
  });
}

const digestOf = (text: string): string => `sha256:${new Bun.CryptoHasher("sha256").update(text).digest("hex")}`;

async function putBlob(repository: string, text: string): Promise<object> {
  const begun = await fetch(`http://${registry.host}/v2/${repository}/blobs/uploads/`, { method: "POST" });
  const place = new URL(begun.headers.get("location") ?? "", `http://${registry.host}`);
  place.searchParams.set("digest", digestOf(text));
  const headers = { "content-type": "application/octet-stream" };
  expect((await fetch(place, { method: "PUT", body: text, headers })).status).toBe(201);
  return { digest: digestOf(text), size: text.length };
}

async function putManifest(repository: string, tag: string, mediaType: string, document: object): Promise<string> {
  const body = JSON.stringify({ schemaVersion: 2, mediaType, ...document });
  const address = `http://${registry.host}/v2/${repository}/manifests/${tag}`;
  const put = await fetch(address, { method: "PUT", body, headers: { "content-type": mediaType } });
  expect(put.status).toBe(201);
  return body;
}

describe("lighter image referrers", () => {
  const shared = sharedDaemon();

  shared.test(
    "lists what is attached to an image, all or of a type",
    async (daemon) => {
      const reference = `${registry.host}/harbour/box:1`;
      const pushed = JSON.parse(await lighterOk(daemon, ["push", "--json", "--plain-http", busyboxImage, reference]));
      const listed = async (...options: string[]) =>
        JSON.parse(await lighterOk(daemon, ["image", "referrers", "--json", "--plain-http", ...options, reference]));
      expect(await listed()).toEqual({ name: reference, digest: pushed.digest, referrers: [] });

      const config = { mediaType: "application/vnd.oci.empty.v1+json", ...(await putBlob("harbour/box", "{}")) };
      const entries: object[] = [];
      for (const artifactType of ["application/spdx+json", "application/vnd.test.seal"]) {
        const document = { artifactType, config, layers: [], annotations: { by: "the bosun" } };
        const text = await putManifest("harbour/box", `artifact-${entries.length}`, manifestType, document);
        const { annotations } = document;
        entries.push({ mediaType: manifestType, digest: digestOf(text), size: text.length, artifactType, annotations });
      }
      // Debian's registry has no referrers API: the tag that stands in for it is asked.
      await putManifest("harbour/box", pushed.digest.replace(":", "-"), indexType, { manifests: entries });

      const all = await listed();
      expect(all.referrers.map(({ artifactType }: { artifactType: string }) => artifactType)).toEqual([
        "application/spdx+json",
        "application/vnd.test.seal",
      ]);
      expect(all.referrers[0].annotations).toEqual({ by: "the bosun" });
      expect((await listed("--type", "application/vnd.test.seal")).referrers).toEqual([all.referrers[1]]);
      const table = await lighterOk(daemon, ["image", "referrers", "--plain-http", reference]);
      expect(table).toMatch(/^DIGEST +TYPE +SIZE\nsha256:[0-9a-f]{64} +application\/spdx\+json +\d+ B\n/);
      const none = await lighter(daemon, ["image", "referrers", "--plain-http", `${registry.host}/harbour/none:1`]);
      expect(none).toMatchObject({ code: 1, stderr: expect.stringContaining("not found") });
    },
    { needs },
  );
});
