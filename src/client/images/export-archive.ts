import { fault } from "../../lib/faults.ts";
import { encodeHeader, endMark, paddingFor, plainEntry } from "../../lib/tar/index.ts";
import type { Client } from "../client.ts";
import { blobBytes } from "../content/blobs.ts";
import { type Descriptor, mediaTypes } from "./documents.ts";
import { blobsOf, type ImageTree, manifestsOf } from "./image-tree.ts";

/** An image that goes into an archive, under the name it has there. */
export interface ExportedImage {
  readonly name: string;
  readonly tree: ImageTree;
}

/** An archive that is ready to be written. */
export interface ImageArchive {
  readonly totalBytes: number;
  /** Errors: notFound (a blob is not there), dataLoss (one is not what its digest says). */
  bytes(): AsyncGenerator<Uint8Array>;
}

interface Member {
  readonly name: string;
  readonly sizeBytes: number;
  readonly blob?: Descriptor | undefined;
  readonly text?: Uint8Array | undefined;
  readonly isFolder?: boolean;
}

/**
 * An OCI layout that docker can load as well.
 * Shape: the same images give the same bytes.
 * Source: OCI image-spec, image-layout.md; docker's image-spec v1.2 for manifest.json.
 */
export function imageArchive(client: Client, images: readonly ExportedImage[]): ImageArchive {
  const blobs = new Map(images.flatMap(({ tree }) => blobsOf(tree)).map((blob) => [blobName(blob.digest), blob]));
  const members: Member[] = [
    folder("blobs/"),
    folder("blobs/sha256/"),
    ...[...blobs].map(([name, blob]) => ({ name, sizeBytes: blob.size, blob })),
    document("index.json", layoutIndex(images)),
    document("manifest.json", dockerManifest(images)),
    document("oci-layout", { imageLayoutVersion: "1.0.0" }),
  ].toSorted((a, b) => (a.name < b.name ? -1 : 1));
  const totalBytes = members.reduce((sum, { sizeBytes }) => sum + 512 + sizeBytes + paddingFor(sizeBytes).length, 0);
  return { totalBytes: totalBytes + endMark.length, bytes: () => writeMembers(client, members) };
}

async function* writeMembers(client: Client, members: readonly Member[]): AsyncGenerator<Uint8Array> {
  for (const member of members) {
    yield header(member);
    if (member.text !== undefined) yield member.text;
    if (member.blob !== undefined) yield* checkedBlob(client, member.blob);
    const padding = paddingFor(member.sizeBytes);
    if (padding.length > 0) yield padding;
  }
  yield endMark;
}

async function* checkedBlob(client: Client, { digest, size }: Descriptor): AsyncGenerator<Uint8Array> {
  const hasher = new Bun.CryptoHasher("sha256");
  let count = 0;
  for await (const bytes of blobBytes(client, digest)) {
    hasher.update(bytes);
    count += bytes.length;
    if (count > size) break;
    yield bytes;
  }
  const found = `sha256:${hasher.digest("hex")}`;
  if (found !== digest) throw fault("dataLoss", `blob ${digest} is damaged: it is ${found} of ${count} bytes`);
}

function header({ name, sizeBytes, blob, isFolder }: Member): Uint8Array {
  const mode = isFolder === true ? 0o755 : blob === undefined ? 0o644 : 0o444;
  return encodeHeader(plainEntry(name, sizeBytes, { kind: isFolder === true ? "directory" : "file", mode }));
}

function folder(name: string): Member {
  return { name, sizeBytes: 0, isFolder: true };
}

function document(name: string, value: object): Member {
  const text = Buffer.from(JSON.stringify(value));
  return { name, sizeBytes: text.length, text };
}

function blobName(digest: string): string {
  return `blobs/${digest.replace(":", "/")}`;
}

function layoutIndex(images: readonly ExportedImage[]): object {
  const manifests = images.map(({ name, tree }) => {
    const { mediaType, digest, size } = tree.kind === "index" ? tree.index.descriptor : tree.manifest.descriptor;
    const annotations = {
      "io.containerd.image.name": name,
      "org.opencontainers.image.ref.name": /:([^/:@]+)$/.exec(name)?.[1] ?? "latest",
    };
    return { mediaType, digest, size, annotations };
  });
  return { schemaVersion: 2, mediaType: mediaTypes.index, manifests };
}

/** docker knows one platform an image: the first. Names of the same image go together. */
function dockerManifest(images: readonly ExportedImage[]): object[] {
  const entries = new Map<string, { Config: string; RepoTags: string[]; Layers: string[] }>();
  for (const { name, tree } of images) {
    const [manifest] = manifestsOf(tree);
    if (manifest === undefined) continue;
    const known = entries.get(manifest.descriptor.digest);
    const tag = name.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, "");
    if (known !== undefined) known.RepoTags.push(tag);
    else {
      entries.set(manifest.descriptor.digest, {
        Config: blobName(manifest.config.digest),
        RepoTags: name.includes("@") ? [] : [tag],
        Layers: manifest.layers.map(({ digest }) => blobName(digest)),
      });
    }
  }
  return [...entries.values()];
}
