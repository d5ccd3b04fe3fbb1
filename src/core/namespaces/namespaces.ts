import type { Database } from "bun:sqlite";
import type { Ctx } from "../../lib/ctx.ts";

export interface NamespaceInfo {
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
}

/** Tells whether a namespace still holds anything of one kind. */
export type OccupancyCheck = (db: Database, namespace: string) => boolean;

/** The namespaces of the daemon. Names are made by clients, and by the first write into one. */
export interface NamespaceStore {
  /** Labels of a namespace; empty for one that is not there, as containerd answers. */
  labels(name: string): ReadonlyMap<string, string>;
  list(): readonly NamespaceInfo[];
  /** Errors: invalidArgument (name or labels), alreadyExists. Effects: durable; event /namespaces/create. */
  create(ctx: Ctx, info: NamespaceInfo): Promise<NamespaceInfo>;
  /**
   * Sets the labels that `paths` names (`labels.KEY`), or all of them when it is empty; an empty value takes a label away.
   * Errors: invalidArgument (another path, a name that is malformed); unknown, as under containerd (no name, a label that
   * is too long or has no key). Effects: durable; event /namespaces/update; a first label makes a namespace that is not there.
   */
  update(ctx: Ctx, info: NamespaceInfo, paths: readonly string[]): Promise<NamespaceInfo>;
  /** Errors: failedPrecondition (something is in it, named in the message), notFound. Effects: durable; event /namespaces/delete. */
  delete(ctx: Ctx, name: string): Promise<void>;
  /**
   * Adds a reason for which a namespace is not empty.
   * Shape: `name` is what the refusal lists: `images`, `blobs`, `containers`, `snapshots on "overlayfs" snapshotter`.
   */
  registerOccupancy(name: string, isOccupied: OccupancyCheck): void;
}
