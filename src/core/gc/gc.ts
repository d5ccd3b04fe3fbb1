import type { Database } from "bun:sqlite";
import type { Ctx } from "../../lib/ctx.ts";
import type { ResourceKind, Transaction } from "../metadata/index.ts";

/** One object of the graph. */
export interface ResourceNode {
  readonly kind: ResourceKind;
  readonly namespace: string;
  /** A digest, name, id or ref; for a snapshot `<snapshotter>/<name>`. */
  readonly key: string;
  /** Held alone, without what it refers to: what a lease with the label `containerd.io/gc.flat` does. */
  readonly flat?: boolean | undefined;
}

/** That one object holds another, and by what. */
export interface Edge {
  readonly node: ResourceNode;
  /** The label's key, or `target`, `parent`, `snapshot`, `expected`, `lease`. */
  readonly how: string;
}

/** An object as the collector sees it. */
export interface Resource {
  readonly namespace: string;
  readonly key: string;
  /** Its labels that begin with `containerd.io/gc.`; the others need not be there. */
  readonly labels: readonly (readonly [string, string])[];
  /** What it holds by its nature. */
  readonly holds: readonly Edge[];
  /** Alive by its nature, unless a label says that its time has passed. */
  readonly root: boolean;
}

/** Something that holds others in a number without bound: a lease. */
export interface Holding {
  readonly namespace: string;
  readonly holder: string;
  readonly node: ResourceNode;
}

/**
 * The objects of one kind, as the room that owns their rows offers them. Every function is short and synchronous.
 * Pages follow a fixed order, and each begins after the last object of the one before.
 */
export interface Collectable {
  readonly kind: ResourceKind;
  page(db: Database, after: Resource | undefined, limit: number): readonly Resource[];
  find(db: Database, namespace: string, key: string): Resource | undefined;
  /** For kinds whose objects hold others in numbers: those, of all of them, in pages. */
  holdings?(db: Database, after: Holding | undefined, limit: number): readonly Holding[];
  /** What one of them holds that way. */
  holdingsOf?(db: Database, namespace: string, key: string): readonly ResourceNode[];
  /**
   * Takes an object's row away, with the events that this brings; absent when objects of the kind are never collected.
   * Effects: files go later, by `clean`, from notes that the same transaction leaves.
   */
  remove?(tx: Transaction, resource: Resource): Removal;
  /** Removes the files of what was removed; settles when they are gone. What it leaves undone, the next start does. */
  clean?(): Promise<void>;
  /** For disk usage: what the object itself takes. */
  sizeBytes?(db: Database, namespace: string, key: string): number;
  /**
   * The same for objects that still change, and whose rows therefore tell nothing: bytes by namespace, a line's end, and key.
   * Shape: those of one namespace, or of all. Effects: looks at files, off the loop; what cannot be looked at is left out.
   */
  measure?(signal: AbortSignal, namespace: string | undefined): Promise<ReadonlyMap<string, number>>;
}

export interface Removal {
  readonly removed: boolean;
  /** Keys to be tried (again) now: itself when it is only done in part, a parent that lost its last child. */
  readonly next: readonly string[];
}

/** Objects without rows, such as streams, which live as long as the daemon. */
export interface ResourceCollector {
  readonly kind: ResourceKind;
  /** `x` lets other objects refer to them by the label `containerd.io/gc.ref.x`. */
  readonly referenceLabel?: string | undefined;
  /** Every one of them. */
  all(): Iterable<ResourceNode>;
  /** Those that are alive by themselves; a leased one need not be. */
  active(): Iterable<ResourceNode>;
  leased(namespace: string, lease: string): Iterable<ResourceNode>;
  /** What one of them holds. */
  references?(node: ResourceNode): Iterable<ResourceNode>;
  /** Lets go of one that nothing holds. */
  remove(node: ResourceNode): void;
}

/** What a collection did. */
export interface CollectionStats {
  /** How many objects were alive, and how many of each kind were removed. */
  readonly alive: number;
  readonly removed: ReadonlyMap<ResourceKind, number>;
  /** How long the daemon's loop was kept busy, the most at once, and how long the whole took. */
  readonly busyMs: number;
  readonly longestMs: number;
  readonly elapsedMs: number;
}

export type CollectionWatcher = (elapsedMs: number, isWhole: boolean) => void;

/** How something is reached: from the root, each link with what makes it. */
export type HoldingPath = readonly Edge[];

/** What a holder keeps on disk. */
export interface HolderUsage {
  readonly node: ResourceNode;
  readonly sizeBytes: number;
  /** What would go with it: held by nothing else. */
  readonly uniqueBytes: number;
  readonly objects: number;
}

export interface DiskUsage {
  readonly kinds: ReadonlyMap<ResourceKind, { readonly objects: number; readonly sizeBytes: number }>;
  /** What the next collection would remove. */
  readonly unused: { readonly objects: number; readonly sizeBytes: number };
  /** Images, containers, leases, and what else is alive by itself, the largest first. */
  readonly holders: readonly HolderUsage[];
}

/** Removes what nothing needs any more, and tells why the rest is kept. */
export interface GarbageCollector {
  /** Begins a collection, after any that is under way, and waits for it. Errors: unknown ("gc failed"), the signal's. */
  collect(ctx: Ctx): Promise<CollectionStats>;
  /** A shortest path from a root; undefined when nothing holds it. Errors: notFound (there is no such object). */
  explain(ctx: Ctx, node: ResourceNode): Promise<HoldingPath | undefined>;
  /** Whether there is such an object. */
  exists(node: ResourceNode): boolean;
  /** Over the context's namespace, or all of them without one. */
  usage(ctx: Ctx): Promise<DiskUsage>;
  /** Tells of every collection from now on, until disposed: how long it took, and whether it failed. */
  watch(watcher: CollectionWatcher): Disposable;
  /** Adds objects without rows; disposing takes them out. */
  register(collector: ResourceCollector): Disposable;
}
