import type { Descriptor } from "../../lib/descriptor.ts";
import { isAttestationType, isIndexType, isKnownConfig, isLayerType, isManifestType } from "../../lib/media-types.ts";

const refNameAnnotation = "org.opencontainers.image.ref.name";

/**
 * The ref under which a descriptor's content is fetched or pushed: one for the same content, so that nobody fetches twice.
 * Source: containerd core/remotes/handlers.go, MakeRefKey.
 */
export function makeRefKey(descriptor: Descriptor): string {
  const name = descriptor.annotations?.get(refNameAnnotation);
  const key = name === undefined ? descriptor.digest : `${name}@${descriptor.digest}`;
  return `${prefixOf(descriptor.mediaType)}-${key}`;
}

function prefixOf(mediaType: string): string {
  if (isManifestType(mediaType)) return "manifest";
  if (isIndexType(mediaType)) return "index";
  if (isLayerType(mediaType)) return "layer";
  if (isKnownConfig(mediaType)) return "config";
  return isAttestationType(mediaType) ? "attestation" : "unknown";
}
