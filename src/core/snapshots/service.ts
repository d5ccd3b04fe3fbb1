import type { MessageInitShape } from "@bufbuild/protobuf";
import { type InfoSchema, Kind, Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { labelMap, labelRecord } from "../../lib/labels.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import { encodeMounts } from "../mounts/index.ts";
import type { SnapshotInfo, SnapshotKind, Snapshotter, Snapshotters } from "./snapshotter.ts";

/** How many infos one message of a list carries. Source: containerd plugins/services/snapshots/service.go, List. */
const listBatch = 100;

const kindOf: Readonly<Record<SnapshotKind, Kind>> = {
  view: Kind.VIEW,
  active: Kind.ACTIVE,
  committed: Kind.COMMITTED,
};

/** The gRPC face of the snapshotters. */
export function createSnapshotsService({ snapshotters }: { readonly snapshotters: Snapshotters }): ServiceDefinition {
  return defineService(Snapshots, {
    prepare: async (ctx, { snapshotter, key, parent, labels }) => {
      const mounts = await snapshotters.get(snapshotter).prepare(ctx, key, parent, { labels: labelMap(labels) });
      return { mounts: encodeMounts(mounts) };
    },
    view: async (ctx, { snapshotter, key, parent, labels }) => {
      const mounts = await snapshotters.get(snapshotter).view(ctx, key, parent, { labels: labelMap(labels) });
      return { mounts: encodeMounts(mounts) };
    },
    mounts: async (ctx, { snapshotter, key }) => ({
      mounts: encodeMounts(await snapshotters.get(snapshotter).mounts(ctx, key)),
    }),
    commit: async (ctx, { snapshotter, name, key, labels, parent }) => {
      await snapshotters.get(snapshotter).commit(ctx, name, key, { labels: labelMap(labels), parent });
      return {};
    },
    remove: async (ctx, { snapshotter, key }) => {
      await snapshotters.get(snapshotter).remove(ctx, key);
      return {};
    },
    stat: (ctx, { snapshotter, key }) => ({ info: encodeInfo(snapshotters.get(snapshotter).stat(ctx, key)) }),
    update: async (ctx, { snapshotter, info, updateMask }) => {
      const wanted = { name: info?.name ?? "", labels: new Map(Object.entries(info?.labels ?? {})) };
      return { info: encodeInfo(await snapshotters.get(snapshotter).update(ctx, wanted, updateMask?.paths ?? [])) };
    },
    async *list(ctx, { snapshotter, filters }) {
      const infos = listed(snapshotters.get(snapshotter), ctx, filters);
      for (let at = 0; at < infos.length; at += listBatch) {
        yield { info: infos.slice(at, at + listBatch).map(encodeInfo) };
      }
    },
    usage: async (ctx, { snapshotter, key }) => {
      const { sizeBytes, inodes } = await snapshotters.get(snapshotter).usage(ctx, key);
      return { size: BigInt(sizeBytes), inodes: BigInt(inodes) };
    },
    cleanup: async (ctx, { snapshotter }) => {
      await snapshotters.get(snapshotter).cleanup(ctx);
      return {};
    },
  });
}

/** Errors: unknown, whatever it was: containerd gives a list's failures no code. */
function listed(snapshotter: Snapshotter, ctx: Ctx, filters: readonly string[]): readonly SnapshotInfo[] {
  try {
    return snapshotter.list(ctx, filters);
  } catch (error) {
    throw new FaultError("unknown", messageOf(error), { cause: error });
  }
}

function encodeInfo(info: SnapshotInfo): MessageInitShape<typeof InfoSchema> {
  return {
    name: info.name,
    parent: info.parent,
    kind: kindOf[info.kind],
    createdAt: info.createdAt.toTimestamp(),
    updatedAt: info.updatedAt.toTimestamp(),
    labels: labelRecord(info.labels),
  };
}
