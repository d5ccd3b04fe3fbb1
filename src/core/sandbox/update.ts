import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Sandbox, Sandbox_RuntimeSchema } from "../../gen/containerd/types/sandbox_pb.ts";
import { invalidArgument, quote } from "../../lib/faults.ts";
import { applyLabelPath, labelRecord } from "../../lib/labels.ts";

/** What an update without a mask replaces. */
const mutablePaths = ["labels", "extensions", "spec", "runtime"];

/**
 * Applies an update to a stored sandbox, which is changed in place. A key whose new value is empty or missing goes away.
 * Errors: invalidArgument (another path; without a mask, a runtime's name that differs).
 * Source: containerd core/metadata/sandbox.go, Update.
 */
export function applyUpdate(stored: Sandbox, wanted: Sandbox, paths: readonly string[]): void {
  if (paths.length === 0 && (stored.runtime?.name ?? "") !== (wanted.runtime?.name ?? "")) {
    throw invalidArgument("sandbox.Runtime.Name field is immutable");
  }
  for (const path of paths.length === 0 ? mutablePaths : paths) applyPath(stored, wanted, path);
}

function applyPath(stored: Sandbox, wanted: Sandbox, path: string): void {
  const labels = new Map(Object.entries(stored.labels));
  if (applyLabelPath(labels, new Map(Object.entries(wanted.labels)), path)) {
    stored.labels = labelRecord(labels);
  } else if (path.startsWith("extensions.")) {
    stored.extensions = withExtension(stored.extensions, wanted.extensions, path.slice("extensions.".length));
  } else if (path === "extensions") {
    stored.extensions = wanted.extensions;
  } else if (path === "runtime") {
    stored.runtime = wanted.runtime ?? create(Sandbox_RuntimeSchema);
  } else if (path === "spec") {
    stored.spec = wanted.spec;
  } else {
    throw invalidArgument(`cannot update ${quote(path)} field on sandbox ${quote(stored.sandboxId)}`);
  }
}

type Extensions = Record<string, Any>;

function withExtension(stored: Extensions, wanted: Extensions, key: string): Extensions {
  const extensions = new Map(Object.entries(stored));
  const value = Object.hasOwn(wanted, key) ? wanted[key] : undefined;
  if (value === undefined) extensions.delete(key);
  else extensions.set(key, value);
  return Object.fromEntries(extensions);
}
