import { abortFault, type Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { Digest } from "../../lib/digest.ts";
import { isFault, messageOf, quote, unavailable, wrapFault } from "../../lib/faults.ts";
import type { KeyedMutex } from "../../lib/keyed-mutex.ts";
import type { MountSpec } from "../mounts/index.ts";
import type { SnapshotUsage } from "../snapshots/index.ts";
import type { UnpackTarget } from "./unpacker.ts";

/** One layer of an image and the snapshot that it is to become. */
export interface LayerPlan {
  readonly layer: Descriptor;
  readonly diffId: Digest;
  /** What the snapshot will be called; `parent` likewise, empty for the lowest. */
  readonly chainId: Digest;
  readonly parent: string;
}

/** A snapshot that a layer is being unpacked into. */
export interface LayerSnapshot extends LayerPlan {
  readonly key: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly mounts: readonly MountSpec[];
}

const refLabel = "containerd.io/snapshot.ref";
const inheritedPrefix = "containerd.io/snapshot/";
const diffIdLabel = "containerd.io/snapshot/diff-id";
const parentLabel = "containerd.io/snapshot/parent-chain-id";
/** How often a snapshot that was said to exist is looked for. */
const maxTries = 3;

/** The snapshots of one image's layers, from their making to their commit. */
export class LayerSnapshots {
  readonly #target: UnpackTarget;
  readonly #locks: KeyedMutex;
  /** Those that are prepared and not committed, with what keeps others from unpacking the same. */
  readonly #open = new Map<LayerSnapshot, Disposable>();

  constructor(target: UnpackTarget, locks: KeyedMutex) {
    this.#target = target;
    this.#locks = locks;
  }

  /**
   * Prepares a layer's snapshot; undefined when it is there already.
   * Effects: nobody else unpacks the same one until it was committed or abandoned.
   */
  async prepare(ctx: Ctx, plan: LayerPlan): Promise<LayerSnapshot | undefined> {
    const { snapshotter, rebases } = this.#target;
    const lock = await lockFor(this.#locks, `${snapshotter.name}/${ctx.namespace}/${plan.chainId}`, ctx.signal);
    try {
      const labels = labelsOf(plan);
      const prepared = await prepareKey(ctx, snapshotter, plan.chainId, rebases ? "" : plan.parent, labels);
      if (prepared !== undefined) {
        const snapshot = { ...plan, labels, ...prepared };
        this.#open.set(snapshot, lock);
        return snapshot;
      }
    } catch (error) {
      lock[Symbol.dispose]();
      throw error;
    }
    lock[Symbol.dispose]();
    return undefined;
  }

  /** Makes a snapshot in place of one whose files are wrong. */
  async renew(ctx: Ctx, spoilt: LayerSnapshot): Promise<LayerSnapshot> {
    const { snapshotter, rebases } = this.#target;
    const lock = this.#open.get(spoilt);
    await snapshotter.remove(ctx, spoilt.key);
    const { layer, diffId, chainId, parent, labels } = spoilt;
    const prepared = await prepareKey(ctx, snapshotter, chainId, rebases ? "" : parent, labels);
    if (prepared === undefined || lock === undefined) throw unavailable(`snapshot ${chainId} was made by someone else`);
    const snapshot = { layer, diffId, chainId, parent, labels, ...prepared };
    this.#open.delete(spoilt);
    this.#open.set(snapshot, lock);
    return snapshot;
  }

  /** Gives folders the looks that they have in the layers below, which are snapshots by now. */
  async settle(ctx: Ctx, snapshot: LayerSnapshot, impliedFolders: readonly string[]): Promise<void> {
    const { snapshotter, differ } = this.#target;
    if (snapshot.parent === "" || differ.settle === undefined) return;
    const key = `settle-${uniquePart()} ${snapshot.chainId}`;
    const below = await snapshotter.view(ctx, key, snapshot.parent);
    try {
      const mounts = upperOver(snapshot.mounts, below);
      if (mounts !== undefined) await differ.settle(ctx, mounts, { impliedFolders, syncFs: true });
    } finally {
      await snapshotter.remove(ctx, key);
    }
  }

  async commit(ctx: Ctx, snapshot: LayerSnapshot, usage: SnapshotUsage | undefined): Promise<void> {
    const { chainId, key, labels, parent } = snapshot;
    const { snapshotter, rebases } = this.#target;
    try {
      const onto = rebases && parent !== "" ? { parent } : {};
      await snapshotter.commit(ctx, chainId, key, { labels, usage, ...onto });
    } catch (error) {
      // Whoever was faster unpacked the same; ours goes with what is abandoned.
      if (isFault(error, "alreadyExists")) return;
      throw wrapFault(`failed to commit snapshot ${key}`, error);
    }
    this.#close(snapshot);
  }

  /** Removes what was prepared and not committed. */
  async abandonRest(ctx: Ctx): Promise<void> {
    for (const snapshot of this.#open.keys()) {
      try {
        await this.#target.snapshotter.remove(ctx, snapshot.key);
      } catch (error) {
        if (!isFault(error, "notFound")) {
          ctx.log.error(`failed to cleanup ${quote(snapshot.key)}`, { error: messageOf(error) });
        }
      } finally {
        this.#close(snapshot);
      }
    }
  }

  #close(snapshot: LayerSnapshot): void {
    this.#open.get(snapshot)?.[Symbol.dispose]();
    this.#open.delete(snapshot);
  }
}

function labelsOf({ layer, chainId, diffId, parent }: LayerPlan): Map<string, string> {
  const inherited = [...(layer.annotations ?? [])].filter(
    ([key]) => key === refLabel || key.startsWith(inheritedPrefix),
  );
  const labels = new Map(inherited).set(refLabel, chainId).set(diffIdLabel, diffId);
  return parent === "" ? labels : labels.set(parentLabel, parent);
}

/** Source: containerd core/unpack/unpacker.go, topHalf. */
async function prepareKey(
  ctx: Ctx,
  snapshotter: UnpackTarget["snapshotter"],
  chainId: Digest,
  on: string,
  labels: ReadonlyMap<string, string>,
): Promise<Pick<LayerSnapshot, "key" | "mounts"> | undefined> {
  for (let tries = 1; tries <= maxTries; tries++) {
    const key = `extract-${uniquePart()} ${chainId}`;
    try {
      return { key, mounts: await snapshotter.prepare(ctx, key, on, { labels }) };
    } catch (error) {
      if (!isFault(error, "alreadyExists")) {
        throw wrapFault(`failed to prepare extraction snapshot ${quote(key)}`, error);
      }
    }
    // Remote snapshotters say so of a snapshot that they have brought themselves.
    if (isThere(ctx, snapshotter, chainId)) return undefined;
  }
  throw unavailable(`unable to prepare extraction snapshot: ${chainId} is said to exist and is not there`);
}

function isThere(ctx: Ctx, snapshotter: UnpackTarget["snapshotter"], chainId: Digest): boolean {
  try {
    snapshotter.stat(ctx, chainId);
    return true;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw wrapFault(`failed to stat snapshot ${chainId}`, error);
  }
}

/** Waits for a lock no longer than the signal says. */
async function lockFor(locks: KeyedMutex, key: string, signal: AbortSignal): Promise<Disposable> {
  const waiting = locks.lock(key);
  const { promise: gone, reject } = Promise.withResolvers<never>();
  const leave = (): void => reject(abortFault(signal));
  signal.addEventListener("abort", leave, { once: true });
  try {
    if (signal.aborted) leave();
    return await Promise.race([waiting, gone]);
  } catch (error) {
    // It comes all the same: whoever waits behind is to have it.
    waiting.then((lock) => lock[Symbol.dispose]()).catch(() => {});
    throw error;
  } finally {
    signal.removeEventListener("abort", leave);
  }
}

/** A snapshot's own folder over those of a view; undefined when the mounts do not tell where they are. */
function upperOver(mounts: readonly MountSpec[], below: readonly MountSpec[]): readonly MountSpec[] | undefined {
  const own = mounts[0];
  const [view] = below;
  if (own?.type !== "bind" || view === undefined || below.length !== 1) return undefined;
  const lower =
    view.type === "bind"
      ? view.source
      : view.options.find((option) => option.startsWith("lowerdir="))?.slice("lowerdir=".length);
  if (lower === undefined) return undefined;
  return [{ type: "overlay", source: "overlay", target: "", options: [`upperdir=${own.source}`, `lowerdir=${lower}`] }];
}

function uniquePart(): string {
  return `${Date.now() % 1_000_000_000}-${Buffer.from(crypto.getRandomValues(new Uint8Array(3))).toString("base64url")}`;
}
