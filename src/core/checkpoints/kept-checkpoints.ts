import { create } from "@bufbuild/protobuf";
import { type Timestamp } from "@bufbuild/protobuf/wkt";
import { ContainerDeleteSchema } from "../../gen/containerd/events/container_pb.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type Checkpoint, CheckpointSchema } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { parseDigest } from "../../lib/digest.ts";
import { alreadyExists, isFault, notFound, quote, wrapFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { Instant } from "../../lib/instant.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { Logger } from "../../lib/log.ts";
import { logFor } from "../../lib/trace.ts";
import { anyTo } from "../../wire/any.ts";
import type { ContainerStore } from "../containers/index.ts";
import type { ContentStore } from "../content/index.ts";
import type { Exchange } from "../events/index.ts";
import type { LeaseManager } from "../leases/index.ts";
import type { Metadata } from "../metadata/index.ts";
import { type NamespaceStore } from "../namespaces/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import { checkpointMediaTypes, storeCheckpoint, type TaskManager } from "../tasks/index.ts";
import { checkpointLabel, ignoreMissing, optionsOf, removeIndex, writeIndex } from "./checkpoint-index.ts";
import type { NamedCheckpoints } from "./checkpoints.ts";
import { createDrafts, type Draft, type Drafts, type OpenDraft } from "./drafts.ts";
import {
  allCheckpoints,
  type CheckpointRow,
  checkpointsIn,
  dropCheckpoint,
  findCheckpoint,
  putCheckpoint,
} from "./store.ts";

/** After this a checkpoint that is still being written is given up by collection. */
const writingHours = 24;
/** How long a shim host may still be at a checkpoint that an earlier daemon asked for. */
const finishTimeoutMs = 60_000;
const finishPollMs = 100;

export interface NamedCheckpointsOptions {
  /** Of the daemon: under it lies what is being made. */
  readonly root: string;
  readonly metadata: Metadata;
  readonly containers: ContainerStore;
  readonly content: ContentStore;
  readonly exchange: Exchange;
  readonly leases: LeaseManager;
  readonly namespaces: Pick<NamespaceStore, "list">;
  readonly tasks: Pick<TaskManager, "checkpoint">;
  readonly log: Logger;
  readonly clock?: Clock | undefined;
}

/** Makes the named checkpoints, and starts to clear away those whose containers went while the daemon was down. */
export function createNamedCheckpoints(options: NamedCheckpointsOptions): NamedCheckpoints {
  return new KeptCheckpoints(options);
}

class KeptCheckpoints implements NamedCheckpoints {
  readonly #options: NamedCheckpointsOptions;
  readonly #clock: Clock;
  readonly #drafts: Drafts;
  readonly #locks = new KeyedMutex();
  /** Leases of checkpoints that are being written now. */
  readonly #writing = new Set<string>();
  readonly #closing = new AbortController();
  readonly #background: Promise<unknown>;

  constructor(options: NamedCheckpointsOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#drafts = createDrafts(options.root);
    this.#background = Promise.all([this.#followDeletions(), this.#sweep(), this.#finishDrafts()]);
  }

  async create(ctx: Ctx, wanted: Checkpoint): Promise<Checkpoint> {
    const namespace = requireNamespace(ctx);
    const { containerId, name } = wanted;
    const container = this.#options.containers.get(ctx, containerId);
    try {
      checkIdentifier(name);
    } catch (error) {
      throw wrapFault("checkpoint name", error);
    }
    using _lock = await this.#locks.lock(`${namespace}/${containerId}`);
    const before = this.#options.metadata.read((db) => findCheckpoint(db, namespace, containerId, name));
    if (before !== undefined) {
      if (before.containerLife === lifeOf(container)) throw alreadyExists(titleOf(containerId, name));
      await this.#remove(before);
    }
    return await this.#make(ctx, container, wanted);
  }

  get(ctx: Ctx, containerId: string, name: string): Checkpoint {
    return this.#find(ctx, containerId, name).checkpoint;
  }

  list(ctx: Ctx, containerId: string): readonly Checkpoint[] {
    const namespace = requireNamespace(ctx);
    if (containerId !== "") this.#options.containers.get(ctx, containerId);
    return this.#options.metadata
      .read((db) => checkpointsIn(db, namespace, containerId))
      .filter((row) => this.#isCurrent(row))
      .map((row) => row.checkpoint)
      .sort((one, other) => compareTimes(one.createdAt, other.createdAt));
  }

  async delete(ctx: Ctx, containerId: string, name: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    using _lock = await this.#locks.lock(`${namespace}/${containerId}`);
    await this.#remove(this.#find(ctx, containerId, name));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closing.abort();
    await this.#background;
  }

  #find(ctx: Ctx, containerId: string, name: string): CheckpointRow {
    const namespace = requireNamespace(ctx);
    const row = this.#options.metadata.read((db) => findCheckpoint(db, namespace, containerId, name));
    if (row === undefined || !this.#isCurrent(row)) throw notFound(titleOf(containerId, name));
    return row;
  }

  async #make(ctx: Ctx, container: Container, wanted: Checkpoint): Promise<Checkpoint> {
    const { containerId, name, exit, terminal, openTcp, externalUnixSockets, fileLocks, emptyNamespaces } = wanted;
    const flags = { exit, terminal, openTcp, externalUnixSockets, fileLocks, emptyNamespaces };
    const createdAt = this.#clock().toTimestamp();
    const checkpoint = create(CheckpointSchema, { containerId, name, createdAt, ...flags });
    const draft = { namespace: requireNamespace(ctx), containerLife: lifeOf(container), checkpoint };
    await using made = await this.#drafts.create(draft);
    await this.#options.tasks.checkpoint(ctx, containerId, optionsOf(checkpoint, made.images));
    return await this.#store(ctx, container, made);
  }

  /** Writes a draft's images under a lease, then the row. Dying in between leaves an index without a row: the next start's sweep. */
  async #store(ctx: Ctx, container: Container, draft: OpenDraft): Promise<Checkpoint> {
    const { content, leases, metadata, log } = this.#options;
    const { namespace, containerLife, checkpoint: wanted } = draft;
    const { containerId, name } = wanted;
    const expires = this.#clock()
      .plusMs(writingHours * 3_600_000)
      .toString();
    const labels = new Map([["containerd.io/gc.expire", expires]]).set(checkpointLabel, `${containerId}/${name}`);
    const lease = `checkpoint-${crypto.randomUUID()}`;
    this.#writing.add(lease);
    await using _held = { [Symbol.asyncDispose]: () => this.#release(ctx, lease) };
    await leases.create(ctx, { id: lease, labels });
    const leased = createCtx({ namespace, lease, signal: ctx.signal, log: ctx.log });
    const descriptors = await storeCheckpoint(leased, content, draft.images, container.spec);
    const createdAt = wanted.createdAt === undefined ? this.#clock() : Instant.of(wanted.createdAt);
    const parts = { container, name, createdAt, options: optionsOf(wanted), descriptors };
    const target = await writeIndex(leased, content, parts);
    const sizeBytes = descriptors.find(({ mediaType }) => mediaType === checkpointMediaTypes.image)?.size ?? 0n;
    const checkpoint = create(CheckpointSchema, { ...wanted, target, sizeBytes });
    await metadata.update((tx) => putCheckpoint(tx, { namespace, containerLife, checkpoint }));
    logFor(ctx, log).info("made a checkpoint", { namespace, container: containerId, name, digest: target.digest });
    return checkpoint;
  }

  async #release(ctx: Ctx, lease: string): Promise<void> {
    this.#writing.delete(lease);
    await ignoreMissing(() => this.#options.leases.delete(ctx, lease));
  }

  /** The content first: dying in between leaves a row, of which the removal can be repeated. */
  async #remove(row: CheckpointRow): Promise<void> {
    const ctx = createCtx({ namespace: row.namespace });
    const digest = row.checkpoint.target?.digest;
    if (digest !== undefined) await removeIndex(ctx, this.#options.content, parseDigest(digest));
    await this.#options.metadata.update((tx) => dropCheckpoint(tx, row));
  }

  #isCurrent(row: Draft): boolean {
    try {
      const container = this.#options.containers.get(
        createCtx({ namespace: row.namespace }),
        row.checkpoint.containerId,
      );
      return lifeOf(container) === row.containerLife;
    } catch (error) {
      if (isFault(error, "notFound")) return false;
      throw error;
    }
  }

  /** A container's checkpoints go with it. */
  async #followDeletions(): Promise<void> {
    const { exchange, log, metadata } = this.#options;
    const ctx = createCtx({ signal: this.#closing.signal });
    try {
      for await (const { namespace, event } of exchange.subscribe(ctx, ['topic=="/containers/delete"'])) {
        const id = event === undefined ? "" : anyTo(event, ContainerDeleteSchema).id;
        if (id !== "") await this.#removeStale(metadata.read((db) => checkpointsIn(db, namespace, id)));
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) log.error("follow deletions of containers", { error });
    }
  }

  /** What the daemon's last life did not get to: rows without their container, and indexes without a row. */
  async #sweep(): Promise<void> {
    const { content, metadata, namespaces, log } = this.#options;
    try {
      await this.#removeStale(metadata.read(allCheckpoints));
      for (const { name: namespace } of namespaces.list()) {
        const ctx = createCtx({ namespace });
        await this.#removeLeases(ctx);
        const rows = metadata.read((db) => checkpointsIn(db, namespace, ""));
        const known = new Set(rows.map((row) => row.checkpoint.target?.digest));
        for (const info of content.list(ctx, [`labels.${quote(checkpointLabel)}`])) {
          if (!known.has(info.digest)) await this.#removeOrphan(ctx, info.digest, info.labels.get(checkpointLabel));
        }
      }
    } catch (error) {
      if (!this.#closing.signal.aborted) log.error("clear away old checkpoints", { error });
    }
  }

  /** Of checkpoints that were being written when the last life ended: what they held is for the collection. */
  async #removeLeases(ctx: Ctx): Promise<void> {
    const { leases } = this.#options;
    for (const { id } of leases.list(ctx, [`labels.${quote(checkpointLabel)}`])) {
      if (!this.#writing.has(id)) await ignoreMissing(() => leases.delete(ctx, id));
    }
  }

  /** What the daemon's last life was making: a container that was stopped for it has no other state. */
  async #finishDrafts(): Promise<void> {
    try {
      const drafts = await this.#drafts.load();
      await Promise.all(drafts.map((draft) => this.#finish(draft)));
    } catch (error) {
      if (!this.#closing.signal.aborted) this.#options.log.error("finish checkpoints", { error });
    }
  }

  /** Stores a draft whose maker was told nothing, if its container ends with it; another is dropped. */
  async #finish(draft: OpenDraft): Promise<void> {
    const { containers, log, metadata } = this.#options;
    const { namespace, containerLife, checkpoint } = draft;
    const { containerId, name } = checkpoint;
    const ctx = createCtx({ namespace });
    using _lock = await this.#locks.lock(`${namespace}/${containerId}`);
    try {
      const isWanted = checkpoint.exit && this.#isCurrent(draft) && (await this.#untilComplete(draft));
      if (this.#closing.signal.aborted) return;
      const row = metadata.read((db) => findCheckpoint(db, namespace, containerId, name));
      if (isWanted && (row === undefined || row.containerLife !== containerLife)) {
        await this.#store(ctx, containers.get(ctx, containerId), draft);
      }
    } catch (error) {
      log.error("finish a checkpoint", { namespace, container: containerId, name, error });
    }
    await draft[Symbol.asyncDispose]();
  }

  /** The shim host goes on with a checkpoint though its daemon died. */
  async #untilComplete(draft: OpenDraft): Promise<boolean> {
    const deadline = performance.now() + finishTimeoutMs;
    while (!(await draft.isComplete())) {
      if (performance.now() > deadline || this.#closing.signal.aborted) return false;
      await Bun.sleep(finishPollMs);
    }
    return true;
  }

  async #removeStale(rows: readonly CheckpointRow[]): Promise<void> {
    for (const row of rows) {
      using _lock = await this.#locks.lock(`${row.namespace}/${row.checkpoint.containerId}`);
      if (!this.#isCurrent(row)) await this.#remove(row);
    }
  }

  /** An index that is being written right now has no row either: its container's lock tells. */
  async #removeOrphan(ctx: Ctx, digest: ReturnType<typeof parseDigest>, title = ""): Promise<void> {
    const [containerId = "", name = ""] = title.split("/");
    const namespace = requireNamespace(ctx);
    using _lock = await this.#locks.lock(`${namespace}/${containerId}`);
    const row = this.#options.metadata.read((db) => findCheckpoint(db, namespace, containerId, name));
    if (row?.checkpoint.target?.digest !== digest) await removeIndex(ctx, this.#options.content, digest);
  }
}

/** Two containers of one id, one after the other, were not made at the same time. */
function lifeOf(container: Container): string {
  return `${container.createdAt?.seconds ?? 0n}.${container.createdAt?.nanos ?? 0}`;
}

function titleOf(containerId: string, name: string): string {
  return `checkpoint ${quote(name)} of container ${quote(containerId)}`;
}

function compareTimes(one: Timestamp | undefined, other: Timestamp | undefined): number {
  return Number((one?.seconds ?? 0n) - (other?.seconds ?? 0n)) || (one?.nanos ?? 0) - (other?.nanos ?? 0);
}
