import type { MessageInitShape } from "@bufbuild/protobuf";
import type { Mount, MountSchema } from "../../gen/containerd/types/mount_pb.ts";
import type { MountSpec } from "./mount-spec.ts";

/** Mounts as the API carries them. */
export function encodeMounts(mounts: readonly MountSpec[]): MessageInitShape<typeof MountSchema>[] {
  return mounts.map(({ type, source, target, options }) => ({ type, source, target, options: [...options] }));
}

/** Mounts that a client sent: nothing of them is checked yet. */
export function decodeMounts(mounts: readonly Mount[]): MountSpec[] {
  return mounts.map(({ type, source, target, options }) => ({ type, source, target, options }));
}
