import type { Descriptor } from "../../lib/descriptor.ts";
import { encodedOf } from "../../lib/digest.ts";
import { isKnownConfig, isLayerType, isManifestType } from "../../lib/media-types.ts";

/** Marks a descriptor as one that refers to another manifest, and names it. Source: containerd core/images/annotations.go. */
export const subjectAnnotation = "io.containerd.manifest.subject";

const prefix = "containerd.io/gc.ref.content.";

/**
 * The labels by which a document keeps its children from garbage collection.
 * Source: containerd core/images/handlers.go, SetChildrenMappedLabels; mediatypes.go, ChildGCLabels.
 */
export function childLabels(children: readonly Descriptor[]): Map<string, string> {
  const labels = new Map<string, string>();
  const counts = new Map<string, number>();
  for (const child of children) {
    const key = labelKey(child);
    const index = counts.get(key) ?? 0;
    counts.set(key, index + 1);
    if (key.endsWith(".sha256.")) labels.set(`${key}${encodedOf(child.digest).slice(0, 12)}`, child.digest);
    else labels.set(index > 0 || key.endsWith(".") ? `${key}${index}` : key, child.digest);
  }
  return labels;
}

function labelKey({ mediaType, annotations }: Descriptor): string {
  if (annotations?.has(subjectAnnotation) === true) return `${prefix}referrer.sha256.`;
  if (isKnownConfig(mediaType)) return `${prefix}config`;
  if (isManifestType(mediaType)) return `${prefix}m.`;
  return isLayerType(mediaType) ? `${prefix}l.` : prefix;
}
