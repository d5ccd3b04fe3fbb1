import { createGzip, createZstdCompress } from "node:zlib";
import { invalidArgument } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { plainBytes, through } from "./archive-source.ts";
import { BlobWriter, type WrittenBlob, writeDocument } from "./blob-writer.ts";
import { checkedTar } from "./checked-tar.ts";
import { labelChildren } from "./child-labels.ts";
import { type Descriptor, mediaTypes } from "./documents.ts";
import { hostArchitecture } from "./image-config.ts";
import { type ImportedImage, putImage } from "./import-archive.ts";
import { withLease } from "./lease.ts";
import { nameCandidates } from "./names.ts";

export type Compression = "gzip" | "zstd" | "none";

export interface RootfsOptions {
  readonly name: string;
  /** A folder, a tar file (plain, gzip, zstd), or `-` for a tar on standard input. */
  readonly source: string;
  readonly isFolder: boolean;
  readonly compression: Compression;
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly created: Date;
  /** Told how many bytes of the layer were read so far. */
  readonly onProgress?: ((bytes: number) => void) | undefined;
}

const layerTypes = { gzip: mediaTypes.layerGzip, zstd: mediaTypes.layerZstd, none: mediaTypes.layer } as const;

/**
 * Makes an image of one layer from a folder or a tar.
 * Errors: invalidArgument when the folder cannot be read whole.
 */
export function imageFromRootfs(client: Client, options: RootfsOptions): Promise<ImportedImage> {
  return withLease(client, async (lease) => {
    const layer = await writeLayer(client, options, lease);
    const config = await writeDocument(client, jsonBytes(configDocument(options, layer.diffId)), { lease });
    const manifest = await writeDocument(client, jsonBytes(manifestDocument(options, layer, config)), { lease });
    const target: Descriptor = {
      mediaType: mediaTypes.manifest,
      digest: manifest.digest,
      size: manifest.sizeBytes,
      annotations: {},
    };
    await labelChildren(client, target, lease);
    const image = { name: nameCandidates(options.name).at(-1) ?? options.name, target };
    await putImage(client, image, lease);
    return image;
  });
}

interface Layer extends WrittenBlob {
  /** The digest of the plain tar. */
  readonly diffId: string;
}

async function writeLayer(client: Client, options: RootfsOptions, lease: string): Promise<Layer> {
  const hasher = new Bun.CryptoHasher("sha256");
  const plain = hashed(
    options.isFolder ? folderTar(options.source) : checkedTar(plainBytes(options.source), options.source),
    hasher,
    options.onProgress,
  );
  const packed =
    options.compression === "gzip"
      ? through(plain, createGzip())
      : options.compression === "zstd"
        ? through(plain, createZstdCompress())
        : plain;
  const writer = new BlobWriter(client, { lease });
  try {
    for await (const chunk of packed) await writer.write(chunk);
  } catch (error) {
    await writer.abort();
    throw error;
  }
  const diffId = `sha256:${hasher.digest("hex")}`;
  const written = await writer.commit({ "containerd.io/uncompressed": diffId });
  return { ...written, diffId };
}

async function* hashed(
  source: AsyncIterable<Uint8Array>,
  hasher: Bun.CryptoHasher,
  onProgress: ((bytes: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let count = 0;
  for await (const chunk of source) {
    hasher.update(chunk);
    count += chunk.length;
    onProgress?.(count);
    yield chunk;
  }
}

/** A folder as a tar, by the system's tar: it knows hard links, devices and extended attributes. */
async function* folderTar(folder: string): AsyncGenerator<Uint8Array> {
  const tar = Bun.spawn(
    [
      "tar",
      "--create",
      "--file=-",
      `--directory=${folder}`,
      "--format=posix",
      "--numeric-owner",
      "--sort=name",
      "--xattrs",
      "--xattrs-include=*",
      "--one-file-system",
      "--pax-option=delete=atime,delete=ctime",
      ".",
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const complaint = new Response(tar.stderr).text();
  yield* tar.stdout;
  const status = await tar.exited;
  if (status !== 0)
    throw invalidArgument(`tar of ${folder}: ${(await complaint).trim().split("\n")[0] || `exit code ${status}`}`);
}

/** Source: OCI image-spec, config.md. */
function configDocument(options: RootfsOptions, diffId: string): object {
  const { cwd, user, labels } = options;
  const created = options.created.toISOString();
  return {
    created,
    architecture: hostArchitecture,
    os: "linux",
    config: {
      Env: options.env,
      ...(options.entrypoint.length > 0 ? { Entrypoint: options.entrypoint } : {}),
      ...(options.cmd.length > 0 ? { Cmd: options.cmd } : {}),
      ...(cwd === "" ? {} : { WorkingDir: cwd }),
      ...(user === "" ? {} : { User: user }),
      ...(Object.keys(labels).length > 0 ? { Labels: labels } : {}),
    },
    rootfs: { type: "layers", diff_ids: [diffId] },
    history: [{ created, created_by: "lighter image from-rootfs" }],
  };
}

function manifestDocument(options: RootfsOptions, layer: WrittenBlob, config: WrittenBlob): object {
  return {
    schemaVersion: 2,
    mediaType: mediaTypes.manifest,
    config: { mediaType: mediaTypes.config, digest: config.digest, size: config.sizeBytes },
    layers: [{ mediaType: layerTypes[options.compression], digest: layer.digest, size: layer.sizeBytes }],
  };
}

function jsonBytes(value: object): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}
