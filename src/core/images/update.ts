import { create } from "@bufbuild/protobuf";
import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { type Descriptor, DescriptorSchema } from "../../gen/containerd/types/descriptor_pb.ts";
import { invalidArgument, quote } from "../../lib/faults.ts";
import { applyLabelPath } from "../../lib/labels.ts";

/**
 * A stored image with an update applied.
 * Shape: without paths the wanted image as it is. A key whose new value is empty or missing goes away.
 * Errors: invalidArgument (a path that is not target, labels or annotations).
 * Source: containerd core/metadata/images.go Update.
 */
export function updatedImage(stored: Image, wanted: Image, paths: readonly string[]): Image {
  if (paths.length === 0) return wanted;
  return paths.reduce((image, path) => applyPath(image, wanted, path), stored);
}

function applyPath(image: Image, wanted: Image, path: string): Image {
  if (path === "target") return { ...image, target: wanted.target };
  const labels = withPath(image.labels, wanted.labels, path);
  if (labels !== undefined) return { ...image, labels };
  if (path === "annotations" || path.startsWith("annotations.")) {
    const target: Descriptor = image.target ?? create(DescriptorSchema);
    const labelPath = `labels${path.slice("annotations".length)}`;
    const annotations = withPath(target.annotations, wanted.target?.annotations ?? {}, labelPath);
    return { ...image, target: { ...target, annotations: annotations ?? {} } };
  }
  throw invalidArgument(`cannot update ${quote(path)} field on image ${quote(image.name)}`);
}

function withPath(
  current: Readonly<Record<string, string>>,
  wanted: Readonly<Record<string, string>>,
  path: string,
): Record<string, string> | undefined {
  const labels = new Map(Object.entries(current));
  return applyLabelPath(labels, new Map(Object.entries(wanted)), path) ? Object.fromEntries(labels) : undefined;
}
