import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { SnapshotCommitSchema, SnapshotRemoveSchema } from "../../gen/containerd/events/snapshot_pb.ts";
import { type Clock, notBefore } from "../../lib/clock.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import {
  alreadyExists,
  FaultError,
  failedPrecondition,
  invalidArgument,
  notFound,
  quote,
  wrapFault,
} from "../../lib/faults.ts";
import { absentField, type FieldAdaptor, mapField, nonEmptyField, parseFilters } from "../../lib/filters.ts";
import { applyLabelPath, checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Exchange } from "../events/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata, Transaction } from "../metadata/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import { mappedRoot } from "./id-mapping.ts";
import type { SnapshotInfo } from "./snapshotter.ts";
import {
  allSnapshots,
  ancestors,
  deleteSnapshot,
  findSnapshot,
  hasChildren,
  type Owner,
  type SnapshotRecord,
  updateSnapshot,
} from "./store.ts";

export interface NamedSnapshotsOptions {
  readonly name: string;
  readonly metadata: Metadata;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly clock: Clock;
  /** The labels that are added when a snapshot is shown. */
  readonly ownLabels?: ((id: number) => ReadonlyMap<string, string>) | undefined;
}

/** Names a snapshot that a remote snapshotter has already. Source: containerd core/snapshots/snapshotter.go. */
export const targetLabel = "containerd.io/snapshot.ref";
const noLabels: ReadonlyMap<string, string> = new Map();
const rootOwner: Owner = { uid: 0, gid: 0 };

export interface Taken {
  readonly error: FaultError;
  readonly name: string;
}

export interface Plan {
  readonly taken: Taken | undefined;
  readonly parents: readonly number[];
  readonly owner: Owner;
}

/** Which snapshot becomes which. */
export interface CommitNames {
  readonly namespace: string;
  readonly name: string;
  readonly key: string;
  readonly labels: ReadonlyMap<string, string>;
  /** What it is put onto, if it was prepared on nothing; "" for nothing. */
  readonly parent: string;
}

/** The refusal of a name that another snapshot has. */
export function taken(name: string): FaultError {
  return alreadyExists(`snapshot ${quote(name)}`);
}

/** Errors: unknown, as under containerd, which says "read" where it writes. */
function requireKeys(labels: ReadonlyMap<string, string>): void {
  try {
    requireLabelKeys(labels);
  } catch (error) {
    throw wrapFault("failed to read labels", error);
  }
}

/** Errors: unknown, with what bolt says of a bucket without a name in containerd. */
function requireName(name: string): void {
  if (name === "") throw new FaultError("unknown", "bucket name required");
}

/** What every snapshotter of this daemon has in common, wherever its files are: names, labels and parents are rows. */
export class NamedSnapshots {
  readonly name: string;
  protected readonly metadata: Metadata;
  protected readonly exchange: Exchange;
  protected readonly leases: LeaseManager;
  protected readonly now: Clock;
  readonly #ownLabels: (id: number) => ReadonlyMap<string, string>;

  constructor(options: NamedSnapshotsOptions) {
    this.name = options.name;
    this.metadata = options.metadata;
    this.exchange = options.exchange;
    this.leases = options.leases;
    this.now = options.clock;
    this.#ownLabels = options.ownLabels ?? (() => noLabels);
  }

  stat(ctx: Ctx, key: string): SnapshotInfo {
    return this.shown(this.record(ctx, key));
  }

  list(ctx: Ctx, filters: readonly string[]): readonly SnapshotInfo[] {
    const namespace = requireNamespace(ctx);
    const filter = parseFilters(filters);
    const records = this.metadata.read((db) => allSnapshots(db, this.name, namespace));
    return records.map((record) => this.shown(record)).filter((info) => filter.matches(fieldsOf(info)));
  }

  async update(
    ctx: Ctx,
    info: { readonly name: string; readonly labels: ReadonlyMap<string, string> },
    paths: readonly string[],
  ): Promise<SnapshotInfo> {
    const namespace = requireNamespace(ctx);
    if (info.name === "") throw invalidArgument("");
    return this.metadata.update((tx) => {
      const record = this.find(tx.db, namespace, info.name);
      const labels = new Map(record.info.labels);
      for (const path of paths.length === 0 ? ["labels"] : paths) {
        if (applyLabelPath(labels, info.labels, path)) continue;
        throw invalidArgument(`cannot update ${quote(path)} field on snapshot ${quote(info.name)}`);
      }
      checkLabels(labels, "info.Labels");
      requireKeys(labels);
      const updatedAt = notBefore(this.now(), record.info.createdAt);
      const updated = { ...record, info: { ...record.info, labels, updatedAt } };
      updateSnapshot(tx, this.name, updated);
      this.touch(tx, namespace, info.name);
      return this.shown(updated);
    });
  }

  /** What a new snapshot would stand on, or why its name cannot be had. */
  protected plan(
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
    if (parent === "") {
      requireName(key);
      return { taken: undefined, parents: [], owner: owner ?? rootOwner };
    }
    const base = findSnapshot(db, this.name, namespace, parent);
    if (base === undefined) throw notFound(`parent snapshot ${parent} does not exist`);
    if (base.info.kind !== "committed") {
      throw invalidArgument(`failed to create snapshot: parent ${quote(parent)} is not committed snapshot`);
    }
    requireName(key);
    return { taken: undefined, parents: ancestors(db, this.name, base.id), owner: owner ?? base.owner };
  }

  /** A name that is taken is still put under the caller's lease: it may be what it was after. */
  protected async refuse(ctx: Ctx, namespace: string, { error, name }: Taken): Promise<never> {
    if (ctx.lease !== undefined) {
      await this.metadata.update((tx) => this.leases.attach(tx, namespace, ctx.lease, this.resource(name)));
    }
    throw error;
  }

  /** The snapshot to commit; undefined when the name is taken. */
  protected committable(
    db: Transaction["db"],
    namespace: string,
    name: string,
    key: string,
  ): SnapshotRecord | undefined {
    requireName(name);
    if (findSnapshot(db, this.name, namespace, name) !== undefined) return undefined;
    const record = this.find(db, namespace, key);
    if (record.info.kind !== "active") {
      throw failedPrecondition(`failed to commit snapshot ${key}: snapshot ${quote(key)} is not active`);
    }
    return record;
  }

  /** Makes the active snapshot's row a committed one. Errors: alreadyExists; the name is then under the caller's lease. */
  protected async commitRow(
    ctx: Ctx,
    { namespace, name, key, labels, parent: wanted }: CommitNames,
    change: Partial<Pick<SnapshotRecord, "usage" | "owner" | "backendKey">>,
  ): Promise<void> {
    const exists = await this.metadata.update((tx) => {
      this.leases.attach(tx, namespace, ctx.lease, this.resource(name));
      const record = this.committable(tx.db, namespace, name, key);
      if (record === undefined) return true;
      const parent = this.parentAtCommit(tx, namespace, key, record, wanted);
      const now = this.now();
      const info: SnapshotInfo = { ...record.info, kind: "committed", name, labels, createdAt: now, updatedAt: now };
      updateSnapshot(tx, this.name, { ...record, ...change, parent, info });
      this.touch(tx, namespace, name);
      this.leases.detach(tx, namespace, ctx.lease, this.resource(key));
      const event = create(SnapshotCommitSchema, { key, name, snapshotter: this.name });
      this.announce(tx, namespace, "/snapshot/commit", anyOf(SnapshotCommitSchema, event));
      return false;
    });
    if (exists) throw taken(name);
  }

  /** Takes a snapshot's row away; what it stood for is the caller's to remove. Errors: notFound, failedPrecondition (children). */
  protected removeRow(ctx: Ctx, key: string): Promise<SnapshotRecord> {
    const namespace = requireNamespace(ctx);
    return this.metadata.update((tx) => {
      const record = this.find(tx.db, namespace, key);
      if (hasChildren(tx.db, this.name, record.id)) throw failedPrecondition("cannot remove snapshot with child");
      deleteSnapshot(tx, this.name, record, namespace);
      this.leases.detach(tx, namespace, ctx.lease, this.resource(key));
      tx.release();
      const event = create(SnapshotRemoveSchema, { key, snapshotter: this.name });
      this.announce(tx, namespace, "/snapshot/remove", anyOf(SnapshotRemoveSchema, event));
      return record;
    });
  }

  /** A snapshot that was prepared on nothing may be given its parent now, so that layers unpack in any order. */
  protected parentAtCommit(
    tx: Pick<Transaction, "db">,
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

  protected record(ctx: Ctx, key: string): SnapshotRecord {
    const namespace = requireNamespace(ctx);
    return this.metadata.read((db) => this.find(db, namespace, key));
  }

  protected find(db: Transaction["db"], namespace: string, key: string): SnapshotRecord {
    const record = findSnapshot(db, this.name, namespace, key);
    if (record === undefined) throw notFound(`snapshot ${key} does not exist`);
    return record;
  }

  protected resource(id: string): { readonly type: string; readonly id: string } {
    return { type: `snapshots/${this.name}`, id };
  }

  protected touch(tx: Transaction, namespace: string, name: string): void {
    tx.touch("snapshot", namespace, `${this.name}/${name}`);
  }

  protected announce(tx: Transaction, namespace: string, topic: string, event: Any): void {
    tx.afterCommit(() => this.exchange.publish(createCtx({ namespace }), topic, event));
  }

  protected shown({ id, info }: SnapshotRecord): SnapshotInfo {
    const own = this.#ownLabels(id);
    return own.size === 0 ? info : { ...info, labels: new Map([...own, ...info.labels]) };
  }
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
