import type { Ctx } from "../../lib/ctx.ts";
import { type Descriptor, descriptorJson } from "../../lib/descriptor.ts";
import { algorithmOf, createDigester, type Digest, encodedOf } from "../../lib/digest.ts";
import { fault } from "../../lib/faults.ts";
import { ociIndex } from "../../lib/media-types.ts";
import { encodeHeader, endMark, paddingFor, plainEntry } from "../../lib/tar/index.ts";
import type { ContentStore } from "../content/index.ts";
import type { ByteSink } from "../streaming/index.ts";

/** One file or folder of an image archive. */
export interface ArchiveRecord {
  readonly name: string;
  readonly mode: number;
  readonly body: { readonly bytes: Uint8Array } | { readonly blob: Descriptor } | "folder";
}

export function blobRecord(blob: Descriptor): ArchiveRecord {
  return { name: blobName(blob.digest), mode: 0o444, body: { blob } };
}

export function blobName(digest: Digest): string {
  return `blobs/${algorithmOf(digest)}/${encodedOf(digest)}`;
}

export function layoutRecord(): ArchiveRecord {
  return { name: "oci-layout", mode: 0o444, body: { bytes: Buffer.from('{"imageLayoutVersion":"1.0.0"}') } };
}

export function indexRecord(manifests: readonly Descriptor[]): ArchiveRecord {
  const document = { schemaVersion: 2, mediaType: ociIndex, manifests: manifests.map(descriptorJson) };
  return { name: "index.json", mode: 0o644, body: { bytes: Buffer.from(JSON.stringify(document)) } };
}

/** The folders that blobs lie in. */
export function folderRecords(records: readonly ArchiveRecord[]): ArchiveRecord[] {
  const algorithms = new Set(records.flatMap(({ name }) => /^blobs\/([^/]+)\//.exec(name)?.[1] ?? []));
  if (algorithms.size === 0) return [];
  const names = ["blobs/", ...[...algorithms].map((algorithm) => `blobs/${algorithm}/`)];
  return names.map((name) => ({ name, mode: 0o755, body: "folder" }));
}

/**
 * Writes records as a tar, in the order of their names, each name once.
 * Errors: notFound (a blob), dataLoss when the store's copy of one is damaged.
 * Source: containerd core/images/archive/exporter.go, writeTar.
 */
export async function writeArchive(
  ctx: Ctx,
  content: ContentStore,
  records: readonly ArchiveRecord[],
  sink: ByteSink,
): Promise<void> {
  const ordered = new Map(
    records.toSorted((a, b) => (a.name < b.name ? -1 : 1)).map((record) => [record.name, record]),
  );
  for (const { name, mode, body } of ordered.values()) {
    const sizeBytes =
      body === "folder" ? 0 : "blob" in body ? content.info(ctx, body.blob.digest).sizeBytes : body.bytes.length;
    await sink.write(header(name, mode, sizeBytes, body === "folder"));
    if (body === "folder") continue;
    if ("bytes" in body) await sink.write(body.bytes);
    else await writeBlob(ctx, content, body.blob.digest, sink);
    const padding = paddingFor(sizeBytes);
    if (padding.length > 0) await sink.write(padding);
  }
  await sink.write(endMark);
}

function header(name: string, mode: number, sizeBytes: number, isFolder: boolean): Uint8Array {
  return encodeHeader(plainEntry(name, sizeBytes, { kind: isFolder ? "directory" : "file", mode }));
}

async function writeBlob(ctx: Ctx, content: ContentStore, digest: Digest, sink: ByteSink): Promise<void> {
  const digester = createDigester(algorithmOf(digest));
  for await (const piece of content.lend(ctx, digest)) {
    digester.update(piece);
    await sink.write(piece);
  }
  if (digester.digest() !== digest) throw fault("dataLoss", `unexpected digest ${digester.digest()} copied: ${digest}`);
}
