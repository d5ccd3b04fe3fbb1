import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { invalidArgument, wrapFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { checkLabels } from "../../lib/labels.ts";

/** Checks what a container must have. Errors: invalidArgument. Source: containerd core/metadata/containers.go validateContainer. */
export function checkContainer(container: Container): void {
  try {
    checkIdentifier(container.id);
  } catch (error) {
    throw wrapFault("container.ID", error);
  }
  if (Object.hasOwn(container.extensions, "")) {
    throw invalidArgument("container.Extension keys must not be zero-length");
  }
  checkLabels(container.labels, "containers.Labels");
  if ((container.runtime?.name ?? "") === "") throw invalidArgument("container.Runtime.Name must be set");
  if (container.spec === undefined) throw invalidArgument("container.Spec must be set");
  if (container.snapshotKey !== "" && container.snapshotter === "") {
    throw invalidArgument("container.Snapshotter must be set if container.SnapshotKey is set");
  }
}
