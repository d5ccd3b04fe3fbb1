import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { CheckpointOptionsSchema, OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import { FaultError } from "../../lib/faults.ts";
import { anyIs, anyTo } from "../../wire/any.ts";
import { canonicalOptions } from "../runtime-options.ts";
import type { ShimEndpoint } from "../shims/index.ts";
import type { Deprecation } from "../warnings/index.ts";

/** An annotation by which CRI restores from files. Source: containerd plugins/services/tasks/local.go, Create. */
const restoreAnnotation = "RestoreFromPath";

/**
 * The options that a new task's shim gets: the request's, or else the container's.
 * Errors: unknown, with containerd's text, when the request's are of another type.
 */
export function chooseOptions(runtime: string, requested: Any | undefined, own: Any | undefined): Any | undefined {
  if (requested === undefined) return canonicalOptions(own);
  const options = canonicalOptions(requested);
  if (!anyIs(options, OptionsSchema)) throw new FaultError("unknown", `invalid task create option for ${runtime}`);
  return requested.value.length === 0 ? canonicalOptions(own) : options;
}

/** The folder of CRIU's images that a request's options name; empty when they name none. */
export function criuImagePathOf(requested: Any | undefined): string {
  return open(canonicalOptions(requested), OptionsSchema)?.criuImagePath ?? "";
}

/**
 * Where a sandbox takes the calls of its tasks, as a request says it, or else its options: an older way to say it, of
 * which `deprecated` hears. Source: containerd plugins/services/tasks/local.go, Create.
 */
export function taskApiOf(
  { address, version }: ShimEndpoint,
  requested: Any | undefined,
  deprecated: (deprecation: Deprecation) => void,
): ShimEndpoint | undefined {
  const options = open(canonicalOptions(requested), OptionsSchema);
  const [oldAddress, oldVersion] = [options?.taskApiAddress ?? "", options?.taskApiVersion ?? 0];
  if (address === "" && oldAddress !== "") deprecated("runc-options-task-api-address");
  if (version === 0 && oldVersion !== 0) deprecated("runc-options-task-api-version");
  const chosen = { address: address === "" ? oldAddress : address, version: version === 0 ? oldVersion : version };
  return chosen.address === "" ? undefined : chosen;
}

/** The folder into which a checkpoint goes; empty when it goes into content. Errors: unknown, when of another type. */
export function checkpointPathOf(runtime: string, options: Any | undefined): string {
  if (options === undefined) return "";
  const opened = open(options, CheckpointOptionsSchema);
  if (opened === undefined) throw new FaultError("unknown", `invalid task checkpoint option for ${runtime}`);
  return opened.imagePath;
}

/** The folder from which CRI wants a container restored, if so. */
export function restorePathOf(checkpoint: Descriptor | undefined): string | undefined {
  const annotations = checkpoint?.annotations;
  return annotations !== undefined && Object.hasOwn(annotations, restoreAnnotation)
    ? annotations[restoreAnnotation]
    : undefined;
}

function open<D extends DescMessage>(any: Any | undefined, schema: D): MessageShape<D> | undefined {
  return any !== undefined && anyIs(any, schema) ? anyTo(any, schema) : undefined;
}
