import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { invalidArgument, quote } from "../../lib/faults.ts";
import { applyLabelPath } from "../../lib/labels.ts";

/** What an update without a mask replaces. Snapshotter and runtime stay as they were made. */
const mutablePaths = ["labels", "spec", "extensions", "image", "snapshotkey"];

/**
 * Applies an update to a stored container, which is changed in place.
 * Shape: paths are `labels[.KEY]`, `extensions[.KEY]`, `spec`, `image`, `snapshotkey`; none means all of them. A key whose new
 * value is empty or missing goes away.
 * Errors: invalidArgument (another path; without a mask, a snapshotter or runtime name that differs).
 * Source: containerd core/metadata/containers.go Update.
 */
export function applyUpdate(stored: Container, wanted: Container, paths: readonly string[]): void {
  if (paths.length === 0) checkImmutable(stored, wanted);
  for (const path of paths.length === 0 ? mutablePaths : paths) applyPath(stored, wanted, path);
}

function checkImmutable(stored: Container, wanted: Container): void {
  if (stored.snapshotter !== wanted.snapshotter) throw invalidArgument("container.Snapshotter field is immutable");
  if (stored.runtime?.name !== (wanted.runtime?.name ?? "")) {
    throw invalidArgument("container.Runtime.Name field is immutable");
  }
}

function applyPath(stored: Container, wanted: Container, path: string): void {
  const labels = new Map(Object.entries(stored.labels));
  if (applyLabelPath(labels, new Map(Object.entries(wanted.labels)), path)) {
    stored.labels = Object.fromEntries(labels);
  } else if (path.startsWith("extensions.")) {
    applyExtension(stored, wanted, path.slice("extensions.".length));
  } else if (path === "extensions") {
    stored.extensions = wanted.extensions;
  } else if (path === "spec") {
    stored.spec = wanted.spec;
  } else if (path === "image") {
    stored.image = wanted.image;
  } else if (path === "snapshotkey") {
    stored.snapshotKey = wanted.snapshotKey;
  } else {
    throw invalidArgument(`cannot update ${quote(path)} field on ${quote(stored.id)}`);
  }
}

function applyExtension(stored: Container, wanted: Container, key: string): void {
  const extensions = new Map(Object.entries(stored.extensions));
  const value = Object.hasOwn(wanted.extensions, key) ? wanted.extensions[key] : undefined;
  if (value === undefined) extensions.delete(key);
  else extensions.set(key, value);
  stored.extensions = Object.fromEntries(extensions);
}
