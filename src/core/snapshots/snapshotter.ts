import type { Ctx } from "../../lib/ctx.ts";
import type { Instant } from "../../lib/instant.ts";
import type { MountSpec } from "../mounts/index.ts";

export type SnapshotKind = "view" | "active" | "committed";

export interface SnapshotInfo {
  readonly kind: SnapshotKind;
  readonly name: string;
  readonly parent: string;
  readonly labels: ReadonlyMap<string, string>;
  readonly createdAt: Instant;
  readonly updatedAt: Instant;
}

export interface SnapshotUsage {
  readonly inodes: number;
  readonly sizeBytes: number;
}

export interface SnapshotOptions {
  readonly labels?: ReadonlyMap<string, string> | undefined;
  /** commit only: the parent to rebase onto. */
  readonly parent?: string | undefined;
  /** commit only: what the snapshot takes, when that was counted already. */
  readonly usage?: SnapshotUsage | undefined;
}

/** One snapshotter as clients see it: names are per namespace, each call acts in the context's one. */
export interface Snapshotter {
  readonly name: string;
  stat(ctx: Ctx, key: string): SnapshotInfo;
  list(ctx: Ctx, filters: readonly string[]): readonly SnapshotInfo[];
  update(
    ctx: Ctx,
    info: { name: string; labels: ReadonlyMap<string, string> },
    paths: readonly string[],
  ): Promise<SnapshotInfo>;
  usage(ctx: Ctx, key: string): Promise<SnapshotUsage>;
  mounts(ctx: Ctx, key: string): Promise<readonly MountSpec[]>;
  prepare(ctx: Ctx, key: string, parent: string, options?: SnapshotOptions): Promise<readonly MountSpec[]>;
  view(ctx: Ctx, key: string, parent: string, options?: SnapshotOptions): Promise<readonly MountSpec[]>;
  commit(ctx: Ctx, name: string, key: string, options?: SnapshotOptions): Promise<void>;
  remove(ctx: Ctx, key: string): Promise<void>;
  /** Removes folders that no snapshot owns. */
  cleanup(ctx: Ctx): Promise<void>;
}

/** The snapshotters of a daemon. Errors: notFound / invalidArgument as containerd says it for an unknown name. */
export interface Snapshotters {
  get(name: string): Snapshotter;
  readonly names: readonly string[];
}
