import type { MessageInitShape } from "@bufbuild/protobuf";
import { Mounts } from "../../gen/containerd/services/mounts/v1/mounts_pb.ts";
import type { ActivationInfoSchema } from "../../gen/containerd/types/mount_pb.ts";
import { notImplemented } from "../../lib/faults.ts";
import { labelRecord } from "../../lib/labels.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { Activation, ActiveMount, MountManager } from "./activations.ts";
import { decodeMounts, encodeMounts } from "./mount-messages.ts";

/** The gRPC face of the mount manager. Update is refused by containerd, too. */
export function createMountsService({ manager }: { readonly manager: MountManager }): ServiceDefinition {
  return defineService(Mounts, {
    activate: async (ctx, { name, mounts, labels, temporary }) => {
      const request = { name, mounts: decodeMounts(mounts), labels: new Map(Object.entries(labels)), temporary };
      return { info: encode(await manager.activate(ctx, request)) };
    },
    deactivate: async (ctx, { name }) => {
      await manager.deactivate(ctx, name);
      return {};
    },
    info: async (ctx, { name }) => ({ info: encode(await manager.info(ctx, name)) }),
    update: () => {
      throw notImplemented("");
    },
    list: async function* (ctx, { filters }) {
      for (const activation of await manager.list(ctx, filters)) yield { info: encode(activation) };
    },
  });
}

function encode({ name, active, system, labels }: Activation): MessageInitShape<typeof ActivationInfoSchema> {
  return { name, active: active.map(encodeActive), system: encodeMounts(system), labels: labelRecord(labels) };
}

function encodeActive({ type, source, target, options, mountPoint, mountedAt }: ActiveMount) {
  return { mount: { type, source, target, options: [...options] }, mountedAt: mountedAt.toTimestamp(), mountPoint };
}
