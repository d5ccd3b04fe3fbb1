import type { Snapshots } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Kind } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { CallOptions, ServiceClient } from "../../wire/service.ts";
import type { MountSpec } from "../mounts/index.ts";
import { decodeMounts } from "../mounts/index.ts";
import type { SnapshotUsage } from "./snapshotter.ts";

/** A snapshotter of another process, by its own names. Every call may fail with what it answers, or with unavailable. */
export interface SnapshotBackend {
  prepare(call: BackendCall, request: BackendCreation): Promise<readonly MountSpec[]>;
  view(call: BackendCall, request: BackendCreation): Promise<readonly MountSpec[]>;
  mounts(call: BackendCall, key: string): Promise<readonly MountSpec[]>;
  commit(call: BackendCall, name: string, key: string, parent: string): Promise<void>;
  remove(call: BackendCall, key: string): Promise<void>;
  usage(call: BackendCall, key: string): Promise<SnapshotUsage>;
  exists(call: BackendCall, key: string): Promise<boolean>;
  /** The committed snapshot that it made for a target of a Prepare. */
  findTarget(call: BackendCall, target: string, parent: string): Promise<string | undefined>;
  updateLabels(call: BackendCall, key: string, labels: ReadonlyMap<string, string>): Promise<void>;
  cleanup(call: BackendCall): Promise<void>;
}

export type BackendCall = Pick<CallOptions, "namespace" | "signal">;

export interface BackendCreation {
  readonly key: string;
  readonly parent: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** Labels that concern a snapshotter, rather than who uses it. Source: core/snapshots/snapshotter.go, FilterInheritedLabels. */
export function inheritedLabels(labels: ReadonlyMap<string, string>): ReadonlyMap<string, string> {
  return new Map(
    [...labels].filter(([key]) => key === "containerd.io/snapshot.ref" || key.startsWith("containerd.io/snapshot/")),
  );
}

/** Speaks to it as containerd does: the public snapshots service, the snapshotter going by the proxy's name. */
export function createSnapshotBackend(
  snapshotter: string,
  connect: () => Promise<ServiceClient<typeof Snapshots>>,
): SnapshotBackend {
  return {
    prepare: async (call, { key, parent, labels }) => {
      const request = { snapshotter, key, parent, labels: Object.fromEntries(labels) };
      return decodeMounts((await (await connect()).prepare(request, call)).mounts);
    },
    view: async (call, { key, parent, labels }) => {
      const request = { snapshotter, key, parent, labels: Object.fromEntries(labels) };
      return decodeMounts((await (await connect()).view(request, call)).mounts);
    },
    mounts: async (call, key) => decodeMounts((await (await connect()).mounts({ snapshotter, key }, call)).mounts),
    commit: async (call, name, key, parent) => {
      await (await connect()).commit({ snapshotter, name, key, parent }, call);
    },
    remove: async (call, key) => {
      await (await connect()).remove({ snapshotter, key }, call);
    },
    usage: async (call, key) => {
      const { size, inodes } = await (await connect()).usage({ snapshotter, key }, call);
      return { sizeBytes: Number(size), inodes: Number(inodes) };
    },
    exists: async (call, key) => {
      try {
        await (await connect()).stat({ snapshotter, key }, call);
        return true;
      } catch (error) {
        if (isFault(error, "notFound")) return false;
        throw error;
      }
    },
    findTarget: async (call, target, parent) => {
      const filters = [`labels."containerd.io/snapshot.ref"==${target},parent==${JSON.stringify(parent)}`];
      for await (const { info } of (await connect()).list({ snapshotter, filters }, call)) {
        // It may not know filters.
        const isIt = (one: (typeof info)[number]): boolean =>
          one.kind === Kind.COMMITTED && one.parent === parent && one.labels["containerd.io/snapshot.ref"] === target;
        const found = info.find(isIt);
        if (found !== undefined) return found.name;
      }
      return undefined;
    },
    updateLabels: async (call, key, labels) => {
      const info = { name: key, labels: Object.fromEntries(labels) };
      await (await connect()).update({ snapshotter, info, updateMask: { paths: ["labels"] } }, call);
    },
    cleanup: async (call) => {
      try {
        await (await connect()).cleanup({ snapshotter }, call);
      } catch (error) {
        if (!isFault(error, "notImplemented")) throw error;
      }
    },
  };
}
