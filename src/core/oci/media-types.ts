/** Media types of layers, as docker's archives have them. Source: docker's manifest-v2-2. */
export const dockerLayer = "application/vnd.docker.image.rootfs.diff.tar";
export const dockerLayerGzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
export const dockerLayerZstd = "application/vnd.docker.image.rootfs.diff.tar.zstd";
/** A descriptor on its own, as image verifiers are given it. */
export const ociDescriptor = "application/vnd.oci.descriptor.v1+json";

export type Compression = "none" | "gzip" | "zstd";

/** What the first bytes of a file say of its compression. Source: RFC 1952, RFC 8878 (also its skippable frames). */
export function compressionOf(head: Uint8Array): Compression {
  if (head[0] === 0x1f && head[1] === 0x8b) return "gzip";
  if (head.length < 4) return "none";
  const magic = Buffer.from(head.buffer, head.byteOffset, 4).readUInt32LE(0);
  return magic === 0xfd2fb528 || (magic & 0xfffffff0) >>> 0 === 0x184d2a50 ? "zstd" : "none";
}
