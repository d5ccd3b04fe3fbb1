import { create } from "@bufbuild/protobuf";
import { SnapshotPrepareSchema } from "../../gen/containerd/events/snapshot_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { alreadyExists, FaultError, failedPrecondition, fault, isFault, messageOf, quote } from "../../lib/faults.ts";
import { checkLabels, requireLabelKeys } from "../../lib/labels.ts";
import { anyOf } from "../../wire/any.ts";
import type { Transaction } from "../metadata/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import { ensureNamespace } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import { type BackendCall, inheritedLabels, type SnapshotBackend } from "./backend.ts";
import type { BackendRemovals } from "./backend-removals.ts";
import { NamedSnapshots, type NamedSnapshotsOptions, type Plan, targetLabel } from "./named-snapshots.ts";
import type { SnapshotInfo, SnapshotKind, SnapshotOptions, Snapshotter, SnapshotUsage } from "./snapshotter.ts";
import {
  type BackendSnapshot,
  findById,
  forgetRemoval,
  insertSnapshot,
  noteRemoval,
  type SnapshotRecord,
} from "./store.ts";

export interface ProxiedSnapshotterOptions extends NamedSnapshotsOptions {
  readonly backend: SnapshotBackend;
  readonly removals: BackendRemovals;
}

const noLabels: ReadonlyMap<string, string> = new Map();
const noUsage: SnapshotUsage = { inodes: 0, sizeBytes: 0 };
/** Ids are drawn, not counted: the other process may hold names of a store that was lost. */
const idSpan = 2 ** 48;

/** The name that a snapshot gets there when it is committed; always the same, so that a commit can be repeated. */
export function committedKey(key: string): string {
  return `${key}+committed`;
}

/**
 * A snapshotter whose files another process keeps: names, labels and parents are rows here, and each has a name of its own there.
 * Source: containerd core/metadata/snapshot.go; core/snapshots/proxy/proxy.go.
 */
export class ProxiedSnapshotter extends NamedSnapshots implements Snapshotter {
  readonly #backend: SnapshotBackend;
  readonly #removals: BackendRemovals;

  constructor(options: ProxiedSnapshotterOptions) {
    super(options);
    this.#backend = options.backend;
    this.#removals = options.removals;
  }

  override async update(
    ctx: Ctx,
    info: { readonly name: string; readonly labels: ReadonlyMap<string, string> },
    paths: readonly string[],
  ): Promise<SnapshotInfo> {
    const updated = await super.update(ctx, info, paths);
    const inherited = inheritedLabels(updated.labels);
    if (inherited.size > 0) await this.#backend.updateLabels(callOf(ctx), this.#keyOf(ctx, info.name), inherited);
    return updated;
  }

  async usage(ctx: Ctx, key: string): Promise<SnapshotUsage> {
    return this.#backend.usage(callOf(ctx), this.#keyOf(ctx, key));
  }

  async mounts(ctx: Ctx, key: string): Promise<readonly MountSpec[]> {
    const { info } = this.record(ctx, key);
    if (info.kind === "committed") {
      throw failedPrecondition(`failed to get active mount: requested snapshot ${key} not active or view`);
    }
    return this.#backend.mounts(callOf(ctx), this.#keyOf(ctx, key));
  }

  async prepare(ctx: Ctx, key: string, parent: string, options: SnapshotOptions = {}): Promise<readonly MountSpec[]> {
    return this.#create(ctx, "active", key, parent, options.labels ?? noLabels);
  }

  async view(ctx: Ctx, key: string, parent: string, options: SnapshotOptions = {}): Promise<readonly MountSpec[]> {
    return this.#create(ctx, "view", key, parent, options.labels ?? noLabels);
  }

  async commit(ctx: Ctx, name: string, key: string, options: SnapshotOptions = {}): Promise<void> {
    const namespace = requireNamespace(ctx);
    const labels = options.labels ?? noLabels;
    checkLabels(labels, "info.Labels");
    requireLabelKeys(labels);
    const before = this.metadata.read((db) => {
      const record = this.committable(db, namespace, name, key);
      if (record === undefined) return undefined;
      const parent = this.parentAtCommit({ db }, namespace, key, record, options.parent ?? "");
      return { parent: this.#backendKeyOf(db, parent), active: required(record) };
    });
    const backendKey = before === undefined ? undefined : committedKey(before.active);
    const usage = before === undefined ? noUsage : await this.#commitThere(ctx, before.active, before.parent);
    const names = { namespace, name, key, labels, parent: options.parent ?? "" };
    await this.commitRow(ctx, names, { usage, backendKey });
  }

  async remove(ctx: Ctx, key: string): Promise<void> {
    await this.removeRow(ctx, key);
    this.#removals.discard();
  }

  async cleanup(ctx: Ctx): Promise<void> {
    await this.#removals.settle();
    await this.#backend.cleanup(callOf(ctx));
  }

  async #create(
    ctx: Ctx,
    kind: Exclude<SnapshotKind, "committed">,
    key: string,
    parent: string,
    labels: ReadonlyMap<string, string>,
  ): Promise<readonly MountSpec[]> {
    const namespace = requireNamespace(ctx);
    checkLabels(labels, "info.Labels");
    requireLabelKeys(labels);
    const plan = (db: Transaction["db"]): Plan => this.plan(db, namespace, key, parent, labels);
    const first = this.metadata.read(plan);
    if (first.taken !== undefined) return this.refuse(ctx, namespace, first.taken);
    try {
      return await this.#createThere(ctx, namespace, kind, key, parent, labels, first, plan);
    } catch (error) {
      // What may have been made there is noted.
      this.#removals.discard();
      throw error;
    }
  }

  async #createThere(
    ctx: Ctx,
    namespace: string,
    kind: Exclude<SnapshotKind, "committed">,
    key: string,
    parent: string,
    labels: ReadonlyMap<string, string>,
    first: Plan,
    plan: (db: Transaction["db"]) => Plan,
  ): Promise<readonly MountSpec[]> {
    const parentId = first.parents[0] ?? null;
    const id = 1 + Math.floor(Math.random() * idSpan);
    const backendKey = `${namespace}/${id}/${key}`;
    const snapshot: BackendSnapshot = { snapshotter: this.name, namespace, backendKey };
    using _making = this.#removals.making(snapshot);
    await this.metadata.update((tx) => noteRemoval(tx, snapshot));
    const request = {
      key: backendKey,
      parent: this.metadata.read((db) => this.#backendKeyOf(db, parentId)),
      labels: inheritedLabels(labels),
    };
    const mounts = await this.#makeThere(ctx, kind, request, labels.get(targetLabel) ?? "");
    const adopted = typeof mounts === "string" ? mounts : undefined;
    const name = adopted === undefined ? key : (labels.get(targetLabel) as string);
    const usage = adopted === undefined ? noUsage : await this.#backend.usage(callOf(ctx), adopted);
    await this.metadata.update((tx) => {
      const again = plan(tx.db);
      if (again.taken !== undefined) throw again.taken.error;
      if ((again.parents[0] ?? null) !== parentId) throw fault("aborted", `parent snapshot ${parent} was replaced`);
      ensureNamespace(tx, namespace);
      this.leases.attach(tx, namespace, ctx.lease, this.resource(name));
      const now = this.now();
      const made = { kind: adopted === undefined ? kind : ("committed" as const), name, parent, labels };
      const info: SnapshotInfo = { ...made, createdAt: now, updatedAt: now };
      const record = { id, parent: parentId, info, usage, owner: first.owner, backendKey: adopted ?? backendKey };
      insertSnapshot(tx, this.name, namespace, record);
      this.touch(tx, namespace, name);
      if (adopted === undefined) forgetRemoval(tx, snapshot);
      if (kind !== "active" || adopted !== undefined) return;
      const event = create(SnapshotPrepareSchema, { key, parent, snapshotter: this.name });
      this.announce(tx, namespace, "/snapshot/prepare", anyOf(SnapshotPrepareSchema, event));
    });
    if (typeof mounts === "string") throw alreadyExists(`target snapshot ${quote(name)} from snapshotter`);
    return mounts;
  }

  /** The mounts; or, where the other process had the target already, the name by which it has it. */
  async #makeThere(
    ctx: Ctx,
    kind: Exclude<SnapshotKind, "committed">,
    request: Parameters<SnapshotBackend["prepare"]>[1],
    target: string,
  ): Promise<readonly MountSpec[] | string> {
    const call = callOf(ctx);
    try {
      return kind === "view" ? await this.#backend.view(call, request) : await this.#backend.prepare(call, request);
    } catch (error) {
      if (!isFault(error, "alreadyExists")) throw error;
      // Its name is new and nobody else's: the answer can only be about the target.
      if (target === "")
        throw new FaultError("unknown", `unexpected error from snapshotter: ${messageOf(error)}: unknown`);
      const found = await this.#backend.findTarget(call, target, request.parent);
      if (found === undefined) throw fault("notFound", `target snapshot ${quote(target)} in backend`);
      return found;
    }
  }

  /** Commits there; one that had been committed there before a crash is fine. */
  async #commitThere(ctx: Ctx, key: string, parent: string): Promise<SnapshotUsage> {
    const call = callOf(ctx);
    try {
      await this.#backend.commit(call, committedKey(key), key, parent);
    } catch (error) {
      if (!(await this.#backend.exists(call, committedKey(key)))) throw error;
    }
    return this.#backend.usage(call, committedKey(key));
  }

  #keyOf(ctx: Ctx, key: string): string {
    return required(this.record(ctx, key));
  }

  #backendKeyOf(db: Transaction["db"], id: number | null): string {
    return (id === null ? undefined : findById(db, this.name, id)?.backendKey) ?? "";
  }
}

function callOf(ctx: Ctx): BackendCall {
  return { namespace: requireNamespace(ctx), signal: ctx.signal };
}

function required({ backendKey, info }: SnapshotRecord): string {
  if (backendKey !== undefined) return backendKey;
  throw fault("internal", `snapshot ${info.name} has no name in its backend`);
}
