import { describe, expect } from "bun:test";
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, type Daemon, type RunResult, sharedDaemon, waitFor } from "../support/index.ts";
import { packTar, type TarEntry } from "../support/tar.ts";
import { lighter, lighterOk } from "./support.ts";

interface Parts {
  /** The one layer's plain tar. */
  readonly layer?: Uint8Array;
  readonly layerBytes?: Uint8Array;
  readonly config?: unknown;
  readonly manifest?: (document: Record<string, unknown>) => unknown;
  readonly index?: unknown;
}

const digestOf = (bytes: Uint8Array): string => `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
const json = (value: unknown): Uint8Array => new TextEncoder().encode(JSON.stringify(value));
const blobPath = (bytes: Uint8Array): string => `blobs/sha256/${digestOf(bytes).slice(7)}`;
const describeBlob = (mediaType: string, bytes: Uint8Array): Record<string, unknown> => ({
  mediaType: `application/vnd.oci.image.${mediaType}`,
  digest: digestOf(bytes),
  size: bytes.length,
});
const goodLayer = packTar([{ path: "hello", content: "hello" }]);

/** The members of an OCI archive of one image, some of them wrong as the test wants it. */
function layout(parts: Parts = {}): TarEntry[] {
  const layer = parts.layer ?? goodLayer;
  const layerBytes = parts.layerBytes ?? Bun.gzipSync(layer as Uint8Array<ArrayBuffer>);
  const arch = process.arch === "arm64" ? "arm64" : "amd64";
  const rootfs = { type: "layers", diff_ids: [digestOf(layer)] };
  const config = json(parts.config ?? { architecture: arch, os: "linux", config: { Cmd: ["/hello"] }, rootfs });
  const document = {
    schemaVersion: 2,
    config: describeBlob("config.v1+json", config),
    layers: [describeBlob("layer.v1.tar+gzip", layerBytes)],
  };
  const manifest = json(parts.manifest?.(document) ?? document);
  const named = { annotations: { "io.containerd.image.name": "hostile.test/image:1" } };
  return [
    { path: "oci-layout", content: '{"imageLayoutVersion":"1.0.0"}' },
    ...[config, manifest, layerBytes].map((content) => ({ path: blobPath(content), content })),
    {
      path: "index.json",
      content: JSON.stringify(
        parts.index ?? { schemaVersion: 2, manifests: [{ ...describeBlob("manifest.v1+json", manifest), ...named }] },
      ),
    },
  ];
}

const [, , , layerMember] = layout();
const layerName = layerMember?.path ?? "";
const changed = (name: string, change: (entry: TarEntry) => TarEntry): TarEntry[] =>
  layout().map((entry) => (entry.path === name ? change(entry) : entry));
/** An archive without one member. Its content is like no other's: what another import brought does not fill the gap. */
const without = (position: number): Uint8Array => {
  const layer = packTar([{ path: `gap-${position}`, content: String(position) }]);
  return packTar(layout({ layer }).filter((_, i) => i !== position));
};
/** A member that claims to be much larger than it is. */
const claiming = (name: string, sizeBytes: number): Uint8Array => {
  const archive = Buffer.from(packTar([{ path: name, content: "{}" }, ...layout()]));
  archive.write(`${sizeBytes.toString(8).padStart(11, "0")}\0`, 124, "latin1");
  archive.fill(" ", 148, 156);
  const sum = archive.subarray(0, 512).reduce((total, byte) => total + byte, 0);
  archive.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return archive;
};

/** Name, archive, and what the error must say. */
const cases: readonly (readonly [string, () => Uint8Array, RegExp])[] = [
  ["nothing at all", () => new Uint8Array(0), /neither index\.json nor manifest\.json/],
  ["text", () => Buffer.from("this is no archive at all\n".repeat(100)), /archive is broken.*header/],
  ["an archive that is cut off", () => packTar(layout()).subarray(0, 2700), /broken at "blobs.*unexpected end/],
  ["gzip that is cut off", () => Bun.gzipSync(packTar(layout()) as Uint8Array<ArrayBuffer>).subarray(0, 300), /broken/],
  ["ten million zeros, packed", () => Bun.gzipSync(new Uint8Array(10_000_000)), /neither index\.json/],
  ["a document that claims 4 GiB", () => claiming("index.json", 2 ** 32), /"index\.json": document is too large/],
  ["no index", () => without(4), /neither index\.json nor manifest\.json/],
  ["no manifest", () => without(2), /lacks a part of image "hostile\.test\/image:1"/],
  ["no layer", () => without(3), /blob sha256:[0-9a-f]+, which manifest .* names, is missing/],
  [
    "a layer that is not what its name says",
    () => packTar(changed(layerName, (entry) => ({ ...entry, content: "something else" }))),
    new RegExp(`${layerName}.*blob is sha256:`),
  ],
  [
    "a name that leads out",
    () => packTar([{ path: "../../etc/evil", content: "x" }, ...layout()]),
    /\.\.\/\.\.\/etc\/evil/,
  ],
  [
    "a link that leads out",
    () => packTar([{ path: "blobs/link", type: "symlink", target: "../../../etc/shadow" }, ...layout()]),
    /"blobs\/link": is a link that leads out/,
  ],
  [
    "an absolute link",
    () => packTar([{ path: "l", type: "symlink", target: "/etc/shadow" }, ...layout()]),
    /"l": is a link/,
  ],
  [
    "two indexes",
    () => packTar([...layout(), { path: "./index.json", content: "{}" }]),
    /index\.json": is there twice/,
  ],
  [
    "an index that is no JSON",
    () => packTar(changed("index.json", (e) => ({ ...e, content: "{]" }))),
    /index\.json is not JSON/,
  ],
  ["an index without images", () => packTar(layout({ index: { manifests: [] } })), /holds no image/],
  [
    "a digest that is a path",
    () => packTar(layout({ index: { manifests: [{ digest: "sha256:../../x", size: 1 }] } })),
    /digest "sha256:\.\.\/\.\.\/x" is malformed/,
  ],
  [
    "a manifest of another size",
    () =>
      packTar(
        layout({
          manifest: (document) => ({ ...document, config: { ...(document["config"] as object), digest: "x" } }),
        }),
      ),
    /config: digest "x" is malformed/,
  ],
  [
    "diff ids that don't fit",
    () => packTar(layout({ config: { os: "linux", rootfs: { diff_ids: [] } } })),
    /1 layers, but 0 diff ids/,
  ],
  [
    "a layer that unpacks to something else",
    () => packTar(layout({ config: { os: "linux", rootfs: { diff_ids: [`sha256:${"0".repeat(64)}`] } } })),
    /(?:unpacks to sha256:[0-9a-f]+, not to|wrong diff id "sha256:[0-9a-f]+" calculated on extraction) "?sha256:0000/,
  ],
  [
    "a layer that is no gzip",
    // Of a content that no other import can have unpacked by then.
    () => packTar(layout({ layer: packTar([{ path: "none" }]), layerBytes: Buffer.from("no gzip") })),
    /apply|gzip|header/i,
  ],
  ["a layer that is cut off", () => packTar(layout({ layer: goodLayer.subarray(0, 300) })), /unexpected|EOF|end of/i],
];

/** Everything that an import could leave in the daemon. */
async function belongings(daemon: Daemon): Promise<Record<string, string>> {
  const content = (await daemon.ctrOk(["content", "ls", "-q"])).split("\n").sort().join("\n");
  return {
    content,
    ingests: await daemon.ctrOk(["content", "active"]),
    leases: await daemon.ctrOk(["leases", "ls", "-q"]),
    images: await daemon.ctrOk(["images", "ls", "-q"]),
    snapshots: await daemon.ctrOk(["snapshots", "ls"]),
  };
}

/** The same without what earlier work left for the collector. */
async function settled(daemon: Daemon): Promise<Record<string, string>> {
  await lighterOk(daemon, ["system", "gc"]);
  return await belongings(daemon);
}

describe("lighter image import of hostile archives", () => {
  const shared = sharedDaemon();

  shared.test("names what is wrong and leaves nothing behind", async (daemon) => {
    const before = await settled(daemon);
    const folder = await fs.mkdtemp(path.join(daemon.workspace.folder, "hostile-"));
    const attempts: Promise<readonly [string, RunResult, RegExp]>[] = cases.map(async ([name, make, wanted], i) => {
      const file = path.join(folder, `${i}.tar`);
      await fs.writeFile(file, make());
      return [name, await lighter(daemon, ["image", "import", file]), wanted] as const;
    });
    for (const [name, { code, stdout, stderr }, wanted] of await Promise.all(attempts)) {
      expect({ name, code, stdout }).toEqual({ name, code: 1, stdout: "" });
      expect(`${name}: ${stderr}`).toMatch(wanted);
    }
    await waitFor("all of it to be gone", async () => Bun.deepEquals(await belongings(daemon), before));
    expect(await belongings(daemon)).toEqual(before);
  });

  shared.test("takes a good one, by name and from standard input", async (daemon) => {
    const archive = packTar(layout());
    const result = await lighter(daemon, ["image", "import", "-"], {
      input: Bun.gzipSync(archive as Uint8Array<ArrayBuffer>),
    });
    expect(result).toMatchObject({ code: 0, stdout: expect.stringContaining("hostile.test/image:1") });
    expect(await lighterOk(daemon, ["image", "rm", "hostile.test/image:1"])).toBe("hostile.test/image:1\n");
  });
});

describe("lighter image from-rootfs", () => {
  const shared = sharedDaemon();

  shared.test("refuses what is no root, and leaves nothing behind", async (daemon) => {
    const before = await settled(daemon);
    const folder = await fs.mkdtemp(path.join(daemon.workspace.folder, "roots-"));
    const attempts: readonly (readonly [Uint8Array, RegExp])[] = [
      [Buffer.from("#!/bin/sh\necho a script, but no archive\n".repeat(50)), /is no tar archive/],
      [new Uint8Array(0), /is empty/],
      [new Uint8Array(10_240), /is empty/],
      [packTar([{ path: "a", content: "x".repeat(5000) }]).subarray(0, 2000), /broken at "a": unexpected end/],
      [packTar([{ path: "a" }, { path: "../b", content: "x" }]), /broken at "\.\.\/b": leads out/],
      [
        Bun.gzipSync(packTar([{ path: "a", content: "y" }]) as Uint8Array<ArrayBuffer>).subarray(0, 60),
        /broken|no tar archive/,
      ],
    ];
    for (const [i, [bytes, wanted]] of attempts.entries()) {
      const file = path.join(folder, `${i}.tar`);
      await fs.writeFile(file, bytes);
      const { code, stdout, stderr } = await lighter(daemon, ["image", "from-rootfs", file, "x"]);
      expect({ i, code, stdout }).toEqual({ i, code: 1, stdout: "" });
      expect(stderr).toMatch(wanted);
    }
    expect((await lighter(daemon, ["image", "from-rootfs", "/no/such/folder", "x"])).stderr).toContain("no such file");
    await waitFor("all of it to be gone", async () => Bun.deepEquals(await belongings(daemon), before));
    expect(await lighterOk(daemon, ["image", "ls", "-q"])).toBe(`${busyboxImage}\n`);
  });
});
