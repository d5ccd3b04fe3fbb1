import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { ResourceNode } from "../gc/index.ts";

/** What a check can find. */
export type ProblemCode =
  | "missing-blob"
  | "blob-size"
  | "blob-digest"
  | "missing-ingest"
  | "missing-parent"
  | "uncommitted-parent"
  | "missing-folder"
  | "orphan-blob"
  | "orphan-ingest"
  | "orphan-folder";

/** Something that does not fit together. */
export interface Problem {
  readonly code: ProblemCode;
  /** Broken, rather than left over. */
  readonly broken: boolean;
  readonly node?: ResourceNode | undefined;
  readonly path: string;
  readonly message: string;
}

export interface CheckOptions {
  /** Reads all bytes again. */
  readonly deep: boolean;
  readonly signal: AbortSignal;
  readonly report: (problem: Problem) => void;
}

/** How many objects of each kind were looked at. */
export type CheckCounts = Readonly<Record<string, number>>;

/** A store that can compare what it says with what is on disk, while it is in use. */
export interface Checkable {
  check(options: CheckOptions): Promise<CheckCounts>;
}

/** Makes snapshots of an image that is in the content store. */
export interface ImageUnpacker {
  /** Errors: notImplemented (nothing unpacks it there), notFound (content), what unpacking says. */
  unpack(
    ctx: Ctx,
    image: { readonly config: Descriptor; readonly layers: readonly Descriptor[] },
    snapshotter: string,
    progress?: {
      extracting?(layer: Descriptor, offset: number): void;
      extracted?(layer: Descriptor): void;
    },
  ): Promise<void>;
}
