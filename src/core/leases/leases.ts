import type { Ctx } from "../../lib/ctx.ts";
import type { Instant } from "../../lib/instant.ts";
import type { Transaction } from "../metadata/index.ts";

/** Holds resources from garbage collection until it is deleted or its `containerd.io/gc.expire` label has passed. */
export interface LeaseInfo {
  readonly id: string;
  readonly createdAt: Instant;
  readonly labels: ReadonlyMap<string, string>;
}

/** Shape: `type` is `content` (id: a digest), `ingests`, `images` or `snapshots/<snapshotter>` (id: a key or name). */
export interface LeaseResource {
  readonly type: string;
  readonly id: string;
}

/** The leases of every namespace; each call acts in the context's namespace. */
export interface LeaseManager {
  /** Errors: alreadyExists. Effects: durable; an empty id becomes a random one; no event. */
  create(ctx: Ctx, lease: { readonly id: string; readonly labels: ReadonlyMap<string, string> }): Promise<LeaseInfo>;
  /** Errors: notFound. Effects: durable; lets go of its resources, of which nothing else changes. */
  delete(ctx: Ctx, id: string): Promise<void>;
  /** Errors: invalidArgument (a filter that doesn't parse). */
  list(ctx: Ctx, filters: readonly string[]): readonly LeaseInfo[];
  /** Errors: notFound, invalidArgument (id or type malformed), notImplemented (unknown type). Adding twice changes nothing. */
  addResource(ctx: Ctx, id: string, resource: LeaseResource): Promise<void>;
  /** Errors: as addResource; a resource that is not there is no error. */
  deleteResource(ctx: Ctx, id: string, resource: LeaseResource): Promise<void>;
  /** Errors: notFound. Shape: by type, then by id. */
  listResources(ctx: Ctx, id: string): readonly LeaseResource[];
  /**
   * Puts a resource that a room is making under the caller's lease, in the room's own transaction: call it wherever content,
   * an ingest, a snapshot or an expiring image is created, with `ctx.lease`. Without a lease it does nothing.
   * Errors: notFound ("lease does not exist").
   */
  attach(tx: Transaction, namespace: string, lease: string | undefined, resource: LeaseResource): void;
  /** Takes a resource that a room is removing from the caller's lease. Without a lease, or without it there, does nothing. */
  detach(tx: Transaction, namespace: string, lease: string | undefined, resource: LeaseResource): void;
}
