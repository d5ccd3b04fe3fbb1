// The media types of images, by containerd's rules. Source: containerd core/images/mediatypes.go; OCI image-spec media-types.md.

export const ociManifest = "application/vnd.oci.image.manifest.v1+json";
export const ociIndex = "application/vnd.oci.image.index.v1+json";
export const ociConfig = "application/vnd.oci.image.config.v1+json";
export const dockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
export const dockerManifestList = "application/vnd.docker.distribution.manifest.list.v2+json";
export const dockerConfig = "application/vnd.docker.container.image.v1+json";
/** Schema 1, which nobody takes any more. */
export const dockerSchema1Manifest = "application/vnd.docker.distribution.manifest.v1+prettyjws";

const checkpointConfigs: readonly string[] = [
  "application/vnd.containerd.container.criu.checkpoint.criu.tar",
  "application/vnd.containerd.container.checkpoint.config.v1+proto",
];
const dockerLayer =
  /^application\/vnd\.docker\.image\.rootfs\.(?:foreign\.diff\.tar(?:\.gzip)?|diff\.tar(?:\.gzip|\.zstd)?)(?:\+|$)/;

export function isManifestType(mediaType: string): boolean {
  return mediaType === ociManifest || mediaType === dockerManifest;
}

export function isIndexType(mediaType: string): boolean {
  return mediaType === ociIndex || mediaType === dockerManifestList;
}

/** A config of an image, or of a checkpoint. */
export function isKnownConfig(mediaType: string): boolean {
  return isConfigType(mediaType) || checkpointConfigs.includes(mediaType);
}

/** A config of an image. */
export function isConfigType(mediaType: string): boolean {
  return mediaType === ociConfig || mediaType === dockerConfig;
}

export function isLayerType(mediaType: string): boolean {
  return (
    mediaType.startsWith("application/vnd.oci.image.layer.") ||
    dockerLayer.test(mediaType) ||
    /^application\/vnd\.erofs\.layer\.v1(?:\+|$)/.test(mediaType)
  );
}

/** Layers that are fetched from their own addresses and are not pushed unless asked for. */
export function isNonDistributable(mediaType: string): boolean {
  return (
    mediaType.startsWith("application/vnd.oci.image.layer.nondistributable.") ||
    mediaType.startsWith("application/vnd.docker.image.rootfs.foreign.")
  );
}

export function isAttestationType(mediaType: string): boolean {
  return mediaType === "application/vnd.in-toto+json";
}
