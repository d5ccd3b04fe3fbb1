import { stat } from "node:fs/promises";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import {
  SnapshotCommitSchema,
  SnapshotPrepareSchema,
  SnapshotRemoveSchema,
} from "../../gen/containerd/events/snapshot_pb.ts";
import { type Clock, notBefore } from "../../lib/clock.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import {
  alreadyExists,
  type FaultError,
  failedPrecondition,
  fault,
  invalidArgument,
  notFound,
  quote,
} from "../../lib/faults.ts";
import { absentField, type FieldAdaptor, mapField, nonEmptyField, parseFilters } from "../../lib/filters.ts";
import { applyLabelPath, checkLabels } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import { ensureNamespace, requireNamespace } from "../namespaces/index.ts";
import type { NewSnapshot, SnapshotDriver } from "./driver.ts";
import type { SnapshotFolders } from "./folders.ts";
import { mappedRoot } from "./id-mapping.ts";
import type { MountSpec, SnapshotInfo, SnapshotOptions, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
import {
  allSnapshots,
  ancestors,
  deleteSnapshot,
  findSnapshot,
  hasChildren,
  insertSnapshot,
  type Owner,
  type SnapshotRecord,
  updateSnapshot,
} from "./store.ts";

export interface StoredSnapshotterOptions {
  readonly driver: SnapshotDriver;
  readonly folders: SnapshotFolders;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly syncRemove: boolean;
  readonly clock: Clock;
}

/** Names a snapshot that a remote snapshotter has already. Source: containerd core/snapshots/snapshotter.go. */
const targetLabel = "containerd.io/snapshot.ref";
const noLabels: ReadonlyMap<string, string> = new Map();
const rootOwner: Owner = { uid: 0, gid: 0 };
const noUsage: SnapshotUsage = { inodes: 0, sizeBytes: 0 };

/** A snapshotter whose names are rows and whose files a driver keeps. */
export class StoredSnapshotter implements Snapshotter {
  readonly #driver: SnapshotDriver;
  readonly #folders: SnapshotFolders;
  readonly #metadata: Metadata;
  readonly #exchange: Exchange;
  readonly #leases: LeaseManager;
  readonly #syncRemove: boolean;
  readonly #now: Clock;

  constructor(options: StoredSnapshotterOptions) {
    this.#driver = options.driver;
    this.#folders = options.folders;
    this.#metadata = options.metadata;
    this.#exchange = options.exchange;
    this.#leases = options.leases;
    this.#syncRemove = options.syncRemove;
    this.#now = options.clock;
  }

  get name(): string {
    return this.#driver.name;
  }

  stat(ctx: Ctx, key: string): SnapshotInfo {
    return this.#shown(this.#record(ctx, key));
  }

  list(ctx: Ctx, filters: readonly string[]): readonly SnapshotInfo[] {
    const namespace = requireNamespace(ctx);
    const filter = parseFilters(filters);
    const records = this.#metadata.read((db) => allSnapshots(db, this.name, namespace));
    return records.map((record) => this.#shown(record)).filter((info) => filter.matches(fieldsOf(info)));
  }

  async update(
    ctx: Ctx,
    info: { readonly name: string; readonly labels: ReadonlyMap<string, string> },
    paths: readonly string[],
  ): Promise<SnapshotInfo> {
    const namespace = requireNamespace(ctx);
    if (info.name === "") throw invalidArgument("");
    return this.#metadata.update((tx) => {
      const record = this.#find(tx.db, namespace, info.name);
      const labels = new Map(record.info.labels);
      for (const path of paths.length === 0 ? ["labels"] : paths) {
        if (applyLabelPath(labels, info.labels, path)) continue;
        throw invalidArgument(`cannot update ${quote(path)} field on snapshot ${quote(info.name)}`);
      }
      checkLabels(labels, "info.Labels");
      const updatedAt = notBefore(this.#now(), record.info.createdAt);
      const updated = { ...record, info: { ...record.info, labels, updatedAt } };
      updateSnapshot(tx, this.name, updated);
      this.#touch(tx, namespace, info.name);
      return this.#shown(updated);
    });
  }

  async usage(ctx: Ctx, key: string): Promise<SnapshotUsage> {
    const { id, info, usage } = this.#record(ctx, key);
    return info.kind === "active" ? this.#driver.usage(id, ctx.signal) : usage;
  }

  async mounts(ctx: Ctx, key: string): Promise<readonly MountSpec[]> {
    const { id, info, parent } = this.#record(ctx, key);
    const { kind, labels } = info;
    if (kind === "committed") {
      throw failedPrecondition(`${this.#driver.mountsContext}: requested snapshot ${key} not active or view`);
    }
    const parents = this.#metadata.read((db) => ancestors(db, this.name, parent));
    return this.#driver.mounts({ id, kind, parents, labels });
  }

  async prepare(ctx: Ctx, key: string, parent: string, options: SnapshotOptions = {}): Promise<readonly MountSpec[]> {
    const announce = (tx: Transaction, namespace: string): void => {
      const event = create(SnapshotPrepareSchema, { key, parent, snapshotter: this.name });
      this.#announce(tx, namespace, "/snapshot/prepare", anyOf(SnapshotPrepareSchema, event));
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
    const before = this.#metadata.read((db) => this.#committable(db, namespace, name, key));
    const measured = before === undefined ? undefined : await this.#measure(before, ctx, options.usage);
    const exists = await this.#metadata.update((tx) => {
      this.#leases.attach(tx, namespace, ctx.lease, this.#resource(name));
      const record = this.#committable(tx.db, namespace, name, key);
      if (record === undefined) return true;
      const parent = this.#parentAtCommit(tx, namespace, key, record, options.parent ?? "");
      const now = this.#now();
      const info: SnapshotInfo = { ...record.info, kind: "committed", name, labels, createdAt: now, updatedAt: now };
      updateSnapshot(tx, this.name, { ...record, ...measured, parent, info });
      this.#touch(tx, namespace, name);
      this.#leases.detach(tx, namespace, ctx.lease, this.#resource(key));
      const event = create(SnapshotCommitSchema, { key, name, snapshotter: this.name });
      this.#announce(tx, namespace, "/snapshot/commit", anyOf(SnapshotCommitSchema, event));
      return false;
    });
    if (exists) throw taken(name);
  }

  async remove(ctx: Ctx, key: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    const { id } = await this.#metadata.update((tx) => {
      const record = this.#find(tx.db, namespace, key);
      if (hasChildren(tx.db, this.name, record.id)) throw failedPrecondition("cannot remove snapshot with child");
      deleteSnapshot(tx, this.name, record.id);
      this.#leases.detach(tx, namespace, ctx.lease, this.#resource(key));
      tx.release();
      const event = create(SnapshotRemoveSchema, { key, snapshotter: this.name });
      this.#announce(tx, namespace, "/snapshot/remove", anyOf(SnapshotRemoveSchema, event));
      return record;
    });
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
    const plan = (db: Transaction["db"]): Plan => this.#plan(db, namespace, key, parent, labels);
    const first = this.#metadata.read(plan);
    if (first.taken !== undefined) return this.#refuse(ctx, namespace, first.taken);
    const id = this.#folders.reserve();
    const snapshot: NewSnapshot = { id, kind, parents: first.parents, owner: first.owner, labels };
    try {
      await this.#driver.create(snapshot);
      await this.#metadata.update((tx) => {
        const again = plan(tx.db);
        if (again.taken !== undefined) throw again.taken.error;
        if (again.parents[0] !== first.parents[0]) throw fault("aborted", `parent snapshot ${parent} was replaced`);
        ensureNamespace(tx, namespace);
        this.#leases.attach(tx, namespace, ctx.lease, this.#resource(key));
        const now = this.#now();
        const info: SnapshotInfo = { kind, name: key, parent, labels, createdAt: now, updatedAt: now };
        const record = { id, parent: first.parents[0] ?? null, info, usage: noUsage, owner: first.owner };
        insertSnapshot(tx, this.name, namespace, record);
        this.#touch(tx, namespace, key);
        announce(tx, namespace);
      });
    } catch (error) {
      this.#folders.discard(id);
      throw error;
    }
    this.#folders.settled(id);
    return this.#driver.mounts(snapshot);
  }

  /** What a new snapshot would stand on, or why its name cannot be had. */
  #plan(
    db: Transaction["db"],
    namespace: string,
    key: string,
    parent: string,
    labels: ReadonlyMap<string, string>,
  ): Plan {
    const target = labels.get(targetLabel) ?? "";
    if (target !== "" && findSnapshot(db, this.name, namespace, target) !== undefined) {
      const error = alreadyExists(`target snapshot ${quote(target)}`);
      return { taken: { error, name: target }, parents: [], owner: rootOwner };
    }
    if (findSnapshot(db, this.name, namespace, key) !== undefined) {
      return { taken: { error: taken(key), name: key }, parents: [], owner: rootOwner };
    }
    const owner = mappedRoot(labels);
    if (parent === "") return { taken: undefined, parents: [], owner: owner ?? rootOwner };
    const base = findSnapshot(db, this.name, namespace, parent);
    if (base === undefined) throw notFound(`parent snapshot ${parent} does not exist`);
    if (base.info.kind !== "committed") {
      throw invalidArgument(`failed to create snapshot: parent ${quote(parent)} is not committed snapshot`);
    }
    return { taken: undefined, parents: ancestors(db, this.name, base.id), owner: owner ?? base.owner };
  }

  /** A name that is taken is still put under the caller's lease: it may be what it was after. */
  async #refuse(ctx: Ctx, namespace: string, { error, name }: Taken): Promise<never> {
    if (ctx.lease !== undefined && ctx.lease !== "") {
      await this.#metadata.update((tx) => this.#leases.attach(tx, namespace, ctx.lease, this.#resource(name)));
    }
    throw error;
  }

  /** The snapshot to commit; undefined when the name is taken. */
  #committable(db: Transaction["db"], namespace: string, name: string, key: string): SnapshotRecord | undefined {
    if (findSnapshot(db, this.name, namespace, name) !== undefined) return undefined;
    const record = this.#find(db, namespace, key);
    if (record.info.kind !== "active") {
      throw failedPrecondition(`failed to commit snapshot ${key}: snapshot ${quote(key)} is not active`);
    }
    return record;
  }

  /** A snapshot that was prepared on nothing may be given its parent now, so that layers unpack in any order. */
  #parentAtCommit(
    tx: Transaction,
    namespace: string,
    key: string,
    record: SnapshotRecord,
    wanted: string,
  ): number | null {
    if (record.parent !== null && wanted !== "" && wanted !== record.info.parent) {
      const context = `failed to commit snapshot ${key}: cannot change parent of active snapshot`;
      throw invalidArgument(`${context} ${quote(key)} on commit`);
    }
    if (record.parent !== null || wanted === "") return record.parent;
    const parent = findSnapshot(tx.db, this.name, namespace, wanted);
    if (parent === undefined) throw notFound(`parent snapshot ${wanted} does not exist`);
    if (parent.info.kind !== "committed") throw failedPrecondition(`parent ${quote(wanted)} is not committed`);
    return parent.id;
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

  #record(ctx: Ctx, key: string): SnapshotRecord {
    const namespace = requireNamespace(ctx);
    return this.#metadata.read((db) => this.#find(db, namespace, key));
  }

  #find(db: Transaction["db"], namespace: string, key: string): SnapshotRecord {
    const record = findSnapshot(db, this.name, namespace, key);
    if (record === undefined) throw notFound(`snapshot ${key} does not exist`);
    return record;
  }

  #resource(id: string): { readonly type: string; readonly id: string } {
    return { type: `snapshots/${this.name}`, id };
  }

  #touch(tx: Transaction, namespace: string, name: string): void {
    tx.touch("snapshot", namespace, `${this.name}/${name}`);
  }

  #announce(tx: Transaction, namespace: string, topic: string, event: Any): void {
    tx.afterCommit(() => this.#exchange.publish(createCtx({ namespace }), topic, event));
  }

  #shown({ id, info }: SnapshotRecord): SnapshotInfo {
    const own = this.#driver.ownLabels(id);
    return own.size === 0 ? info : { ...info, labels: new Map([...own, ...info.labels]) };
  }
}

interface Taken {
  readonly error: FaultError;
  readonly name: string;
}

interface Plan {
  readonly taken: Taken | undefined;
  readonly parents: readonly number[];
  readonly owner: Owner;
}

function taken(name: string): FaultError {
  return alreadyExists(`snapshot ${quote(name)}`);
}

/** Source: containerd core/metadata/adaptors.go, adaptSnapshot. */
function fieldsOf(info: SnapshotInfo): FieldAdaptor {
  return ([first, ...rest]) => {
    switch (first) {
      case "kind":
        return nonEmptyField(info.kind);
      case "name":
        return nonEmptyField(info.name);
      case "parent":
        return { value: info.parent, present: true };
      case "labels":
        return mapField(rest, info.labels);
      default:
        return absentField;
    }
  };
}
