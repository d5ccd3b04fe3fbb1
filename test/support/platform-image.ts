import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import { packTar, type TarEntry } from "./tar.ts";

export interface PlatformImageOptions {
  readonly name: string;
  readonly platforms: readonly { readonly os: string; readonly architecture: string }[];
  /** Of those platforms nothing is put into the archive. */
  readonly absent?: readonly string[] | undefined;
  readonly layerType?: string | undefined;
}

/** What was written. */
export interface PlatformImage {
  readonly digest: string;
  /** Digests of manifests, by architecture. */
  readonly manifests: ReadonlyMap<string, string>;
  readonly layers: ReadonlyMap<string, string>;
}

interface Blob {
  readonly bytes: Uint8Array;
  readonly digest: string;
  readonly mediaType: string;
}

const oci = (kind: string): string => `application/vnd.oci.image.${kind}`;

function blobOf(mediaType: string, bytes: Uint8Array): Blob {
  return { bytes, digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`, mediaType };
}

const jsonBlob = (mediaType: string, value: object): Blob =>
  // Spaces: whoever writes the document anew changes its digest.
  blobOf(mediaType, Buffer.from(JSON.stringify({ schemaVersion: 2, mediaType, ...value }, undefined, 2)));

const described = ({ mediaType, digest, bytes }: Blob): object => ({ mediaType, digest, size: bytes.length });

/** Writes an OCI archive of an image for several platforms, each of one small layer. */
export async function writePlatformImage(file: string, options: PlatformImageOptions): Promise<PlatformImage> {
  const { name, platforms, absent = [], layerType = oci("layer.v1.tar") } = options;
  const images = platforms.map((platform) => ({ platform, ...platformParts(name, platform, layerType) }));
  const manifests = images.map(({ platform, manifest }) => ({ ...described(manifest), platform }));
  const index = jsonBlob(oci("index.v1+json"), { manifests });
  const annotations = { "io.containerd.image.name": name, "org.opencontainers.image.ref.name": "1" };
  const top = { schemaVersion: 2, manifests: [{ ...described(index), annotations }] };
  const present = images.filter(({ platform }) => !absent.includes(platform.architecture));
  const entries: TarEntry[] = [
    { path: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    ...[index, ...present.flatMap(({ layer, config, manifest }) => [layer, config, manifest])].map((blob) => ({
      path: `blobs/${blob.digest.replace(":", "/")}`,
      content: blob.bytes,
    })),
    { path: "index.json", content: JSON.stringify(top) },
  ];
  await fs.writeFile(file, packTar(entries));
  const digests = (part: "manifest" | "layer"): ReadonlyMap<string, string> =>
    new Map(images.map((image) => [image.platform.architecture, image[part].digest]));
  return { digest: index.digest, manifests: digests("manifest"), layers: digests("layer") };
}

function platformParts(
  name: string,
  platform: { readonly os: string; readonly architecture: string },
  layerType: string,
): { readonly layer: Blob; readonly config: Blob; readonly manifest: Blob } {
  const layer = blobOf(layerType, packTar([{ path: "machine", content: `${name} for ${platform.architecture}\n` }]));
  const rootfs = { type: "layers", diff_ids: [layer.digest] };
  const config = jsonBlob(oci("config.v1+json"), { ...platform, config: {}, rootfs });
  const manifest = jsonBlob(oci("manifest.v1+json"), { config: described(config), layers: [described(layer)] });
  return { layer, config, manifest };
}
