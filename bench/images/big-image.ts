import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import { createGzip } from "node:zlib";
import { runOk } from "../../test/support/index.ts";

/** An image of real files: what the machine's Debian packages installed, some packages a layer. */
export interface BigImage {
  /** An OCI archive, its layers compressed with gzip. */
  readonly archive: string;
  readonly name: string;
  readonly layers: number;
  /** Of the files, and of the archive. */
  readonly unpackedBytes: number;
  readonly packedBytes: number;
}

interface Blob {
  readonly digest: string;
  readonly size: number;
}

/** Makes an image of so many layers and about so many bytes of files, in a folder of the caller's. */
export async function writeBigImage(folder: string, layers: number, totalBytes: number): Promise<BigImage> {
  const layout = path.join(folder, "layout");
  await fs.mkdir(path.join(layout, "blobs/sha256"), { recursive: true });
  const groups = await packageGroups(layers, totalBytes);
  const blobs: Blob[] = [];
  const diffIds: string[] = [];
  let unpackedBytes = 0;
  for (const files of groups) {
    const layer = await writeLayer(layout, files);
    blobs.push(layer);
    diffIds.push(layer.diffId);
    unpackedBytes += layer.plainBytes;
  }
  const architecture = process.arch === "arm64" ? "arm64" : "amd64";
  const rootfs = { type: "layers", diff_ids: diffIds };
  const config = await writeJson(layout, { architecture, os: "linux", config: {}, rootfs });
  const type = (kind: string): string => `application/vnd.oci.image.${kind}`;
  const manifest = await writeJson(layout, {
    schemaVersion: 2,
    mediaType: type("manifest.v1+json"),
    config: { mediaType: type("config.v1+json"), ...config },
    layers: blobs.map(({ digest, size }) => ({ mediaType: type("layer.v1.tar+gzip"), digest, size })),
  });
  const name = "lighter.test/big:1";
  const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" };
  const descriptor = {
    mediaType: type("manifest.v1+json"),
    ...manifest,
    annotations,
    platform: { architecture, os: "linux" },
  };
  await fs.writeFile(path.join(layout, "index.json"), JSON.stringify({ schemaVersion: 2, manifests: [descriptor] }));
  await fs.writeFile(path.join(layout, "oci-layout"), '{"imageLayoutVersion":"1.0.0"}');
  const archive = path.join(folder, "big.tar");
  await runOk(["tar", "--create", `--file=${archive}`, `--directory=${layout}`, "oci-layout", "index.json", "blobs"]);
  await fs.rm(layout, { recursive: true });
  return { archive, name, layers, unpackedBytes, packedBytes: (await fs.stat(archive)).size };
}

/** The largest packages of a size that leaves room for others, dealt out to the layers. */
async function packageGroups(layers: number, totalBytes: number): Promise<string[][]> {
  const listed = await runOk(["dpkg-query", "--show", "--showformat", "${Installed-Size} ${Package}\\n"]);
  const packages = listed
    .trim()
    .split("\n")
    .map((line) => ({ bytes: Number(line.split(" ")[0]) * 1024, name: line.split(" ")[1] ?? "" }))
    .filter(({ bytes }) => bytes > 0 && bytes <= totalBytes / layers)
    .toSorted((a, b) => b.bytes - a.bytes || (a.name < b.name ? -1 : 1));
  const groups = Array.from({ length: layers }, () => ({ bytes: 0, names: [] as string[] }));
  for (const { bytes, name } of packages) {
    const smallest = groups.reduce((least, group) => (group.bytes < least.bytes ? group : least));
    if (smallest.bytes + bytes > totalBytes / layers) continue;
    smallest.bytes += bytes;
    smallest.names.push(name);
  }
  return Promise.all(
    groups.map(async ({ names }) => {
      const files = await runOk(["dpkg-query", "--listfiles", ...names]);
      return files.split("\n").filter((file) => file.startsWith("/") && file !== "/.");
    }),
  );
}

async function writeLayer(
  layout: string,
  files: readonly string[],
): Promise<Blob & { diffId: string; plainBytes: number }> {
  const list = path.join(layout, "files");
  const there = await Promise.all(
    [...new Set(files)].map(async (file) =>
      (await fs.lstat(file).catch(() => undefined)) === undefined ? [] : [file.slice(1)],
    ),
  );
  await fs.writeFile(list, there.flat().join("\n"));
  const tar = Bun.spawn(
    ["tar", "--create", "--file=-", "--directory=/", "--no-recursion", "--numeric-owner", `--files-from=${list}`],
    { stdin: "ignore", stdout: "pipe", stderr: "inherit" },
  );
  const [plain, packed] = [createHash("sha256"), createHash("sha256")];
  const gzip = createGzip({ level: 6 });
  const temporary = path.join(layout, "layer");
  const file = await fs.open(temporary, "w");
  let [size, plainBytes] = [0, 0];
  const writing = (async (): Promise<void> => {
    for await (const piece of gzip) {
      packed.update(piece as Uint8Array);
      size += (piece as Uint8Array).length;
      await file.write(piece as Uint8Array);
    }
  })();
  for await (const piece of tar.stdout) {
    plain.update(piece);
    plainBytes += piece.length;
    if (!gzip.write(piece)) await new Promise<void>((resolve) => gzip.once("drain", resolve));
  }
  gzip.end();
  await writing;
  await file.close();
  await fs.rm(list);
  if ((await tar.exited) !== 0) throw new Error("tar of a layer failed");
  const hex = packed.digest("hex");
  await fs.rename(temporary, path.join(layout, "blobs/sha256", hex));
  return { digest: `sha256:${hex}`, size, diffId: `sha256:${plain.digest("hex")}`, plainBytes };
}

async function writeJson(layout: string, value: unknown): Promise<Blob> {
  const bytes = Buffer.from(JSON.stringify(value));
  const hex = createHash("sha256").update(bytes).digest("hex");
  await fs.writeFile(path.join(layout, "blobs/sha256", hex), bytes);
  return { digest: `sha256:${hex}`, size: bytes.length };
}
