import { stat } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import { SnapshotPrepareSchema } from "../../gen/containerd/events/snapshot_pb.ts";
import type { Clock } from "../../lib/clock.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { failedPrecondition, fault } from "../../lib/faults.ts";
import { checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import { ensureNamespace } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { NewSnapshot, SnapshotDriver } from "./driver.ts";
import type { SnapshotFolders } from "./folders.ts";
import { NamedSnapshots, type Plan } from "./named-snapshots.ts";
import type { SnapshotInfo, SnapshotOptions, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
import { ancestors, insertSnapshot, type Owner, type SnapshotRecord } from "./store.ts";

export interface StoredSnapshotterOptions {
  readonly driver: SnapshotDriver;
  readonly folders: SnapshotFolders;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly syncRemove: boolean;
  readonly clock: Clock;
}

const noLabels: ReadonlyMap<string, string> = new Map();
const noUsage: SnapshotUsage = { inodes: 0, sizeBytes: 0 };

/** A snapshotter whose names are rows and whose files a driver keeps. */
export class StoredSnapshotter extends NamedSnapshots implements Snapshotter {
  readonly #driver: SnapshotDriver;
  readonly #folders: SnapshotFolders;
  readonly #syncRemove: boolean;

  constructor(options: StoredSnapshotterOptions) {
    const { driver } = options;
    super({ ...options, name: driver.name, ownLabels: (id) => driver.ownLabels(id) });
    this.#driver = driver;
    this.#folders = options.folders;
    this.#syncRemove = options.syncRemove;
  }

  async usage(ctx: Ctx, key: string): Promise<SnapshotUsage> {
    const { id, info, usage } = this.record(ctx, key);
    return info.kind === "active" ? this.#driver.usage(id, ctx.signal) : usage;
  }

  async mounts(ctx: Ctx, key: string): Promise<readonly MountSpec[]> {
    const { id, info, parent } = this.record(ctx, key);
    const { kind, labels } = info;
    if (kind === "committed") {
      throw failedPrecondition(`${this.#driver.mountsContext}: requested snapshot ${key} not active or view`);
    }
    const parents = this.metadata.read((db) => ancestors(db, this.name, parent));
    return this.#driver.mounts({ id, kind, parents, labels });
  }

  async prepare(ctx: Ctx, key: string, parent: string, options: SnapshotOptions = {}): Promise<readonly MountSpec[]> {
    const announce = (tx: Transaction, namespace: string): void => {
      const event = create(SnapshotPrepareSchema, { key, parent, snapshotter: this.name });
      this.announce(tx, namespace, "/snapshot/prepare", anyOf(SnapshotPrepareSchema, event));
    };
    return this.#create(ctx, "active", key, parent, options.labels ?? noLabels, announce);
  }

  async view(ctx: Ctx, key: string, parent: string, options: SnapshotOptions = {}): Promise<readonly MountSpec[]> {
    return this.#create(ctx, "view", key, parent, options.labels ?? noLabels, () => {});
  }

  /** Source: containerd core/metadata/snapshot.go, Commit; core/snapshots/storage/bolt.go, CommitActive. */
  async commit(ctx: Ctx, name: string, key: string, options: SnapshotOptions = {}): Promise<void> {
    const namespace = requireNamespace(ctx);
    const labels = options.labels ?? noLabels;
    checkLabels(labels, "info.Labels");
    requireLabelKeys(labels);
    const before = this.metadata.read((db) => this.committable(db, namespace, name, key));
    const measured = before === undefined ? undefined : await this.#measure(before, ctx, options.usage);
    const names = { namespace, name, key, labels, parent: options.parent ?? "" };
    await this.commitRow(ctx, names, measured ?? {});
  }

  async remove(ctx: Ctx, key: string): Promise<void> {
    const { id } = await this.removeRow(ctx, key);
    this.#folders.discard(id);
    if (this.#syncRemove) await this.#folders.settle();
  }

  cleanup(_ctx: Ctx): Promise<void> {
    return this.#folders.sweep();
  }

  /** Source: containerd core/metadata/snapshot.go, createSnapshot. */
  async #create(
    ctx: Ctx,
    kind: NewSnapshot["kind"],
    key: string,
    parent: string,
    labels: ReadonlyMap<string, string>,
    announce: (tx: Transaction, namespace: string) => void,
  ): Promise<readonly MountSpec[]> {
    const namespace = requireNamespace(ctx);
    checkLabels(labels, "info.Labels");
    requireLabelKeys(labels);
    const plan = (db: Transaction["db"]): Plan => this.plan(db, namespace, key, parent, labels);
    const first = this.metadata.read(plan);
    if (first.taken !== undefined) return this.refuse(ctx, namespace, first.taken);
    const id = this.#folders.reserve();
    const snapshot: NewSnapshot = { id, kind, parents: first.parents, owner: first.owner, labels };
    try {
      await this.#driver.create(snapshot);
      await this.metadata.update((tx) => {
        const again = plan(tx.db);
        if (again.taken !== undefined) throw again.taken.error;
        if (again.parents[0] !== first.parents[0]) throw fault("aborted", `parent snapshot ${parent} was replaced`);
        ensureNamespace(tx, namespace);
        this.leases.attach(tx, namespace, ctx.lease, this.resource(key));
        const now = this.now();
        const info: SnapshotInfo = { kind, name: key, parent, labels, createdAt: now, updatedAt: now };
        const record = { id, parent: first.parents[0] ?? null, info, usage: noUsage, owner: first.owner };
        insertSnapshot(tx, this.name, namespace, record);
        this.touch(tx, namespace, key);
        announce(tx, namespace);
      });
    } catch (error) {
      this.#folders.discard(id);
      throw error;
    }
    this.#folders.settled(id);
    return this.#driver.mounts(snapshot);
  }

  async #measure(
    { id }: SnapshotRecord,
    ctx: Ctx,
    known: SnapshotUsage | undefined,
  ): Promise<{ usage: SnapshotUsage; owner: Owner }> {
    const counting = known ?? this.#driver.usage(id, ctx.signal);
    const [usage, root] = await Promise.all([counting, stat(this.#driver.contentPath(id))]);
    return { usage, owner: { uid: root.uid, gid: root.gid } };
  }
}
