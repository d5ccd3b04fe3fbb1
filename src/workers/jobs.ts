import type { ByteString } from "../lib/tar/index.ts";
import type { MountRequest } from "../sys/index.ts";

/** Where a worker finds or puts a tree: these mounts, made in a mount namespace of its own on that folder where needed. */
export interface TreeSource {
  readonly mounts: readonly MountRequest[];
  /** An empty folder. Workers can share it: what one mounts there no other process sees. */
  readonly mountPoint: string;
}

/** Bounds on what an archive may unpack to. */
export interface UnpackLimits {
  readonly maxEntries: number;
  /** Of the archive, uncompressed; and of the files, holes included. */
  readonly maxBytes: number;
}

/** A program that turns one kind of layer into another, from its standard input to its standard output. */
export interface StreamProcessor {
  readonly path: string;
  readonly args: readonly string[];
  /** `KEY=value`, beside a usual PATH. */
  readonly env: readonly string[];
  /** What it is given, in base64, on a descriptor of its own. */
  readonly payload?: string | undefined;
}

export interface UnpackJob {
  /**
   * The archive's file; undefined for one that is handed over as a descriptor and still grows: how many bytes of it are
   * there, and that it is `whole`, is said line by line after the job.
   */
  readonly blob: string | undefined;
  /** Programs that the blob goes through first, one after the other; only for one that is a file. */
  readonly processors?: readonly StreamProcessor[] | undefined;
  /** Of what comes out of the last of them. */
  readonly mediaType: string;
  readonly target: TreeSource;
  /** Brings the target's filesystem to disk at the end. */
  readonly syncFs: boolean;
  readonly limits: UnpackLimits;
  /** Counts the tree's files at the end, where the tree is the layer's own. */
  readonly measure?: boolean | undefined;
  /** Tells now and then how much of the archive it has read. */
  readonly tellsOffset?: boolean | undefined;
}

/**
 * One of the layers that a worker applies one after the other, all to trees of one kind. Its files come as descriptors: the
 * tree's folder, the archive, the folders below an overlay's upper one.
 */
export interface LayerJob {
  /** The archive's file still grows, and how far is said line by line after the job. */
  readonly growing: boolean;
  readonly mediaType: string;
  readonly kind: "overlay" | "plain";
  readonly overlayXattrs: "trusted.overlay." | "user.overlay.";
  readonly syncFs: boolean;
  readonly limits: UnpackLimits;
  readonly measure?: boolean | undefined;
  readonly tellsOffset?: boolean | undefined;
}

/** What a tree takes: inodes, and bytes by the blocks that they fill. */
export interface TreeUsage {
  readonly inodes: number;
  readonly sizeBytes: number;
}

export interface UnpackResult {
  /** Of the uncompressed archive. */
  readonly digest: string;
  readonly sizeBytes: number;
  /** What was left out, such as attributes that the filesystem does not keep; the first few. */
  readonly notes: readonly string[];
  /** Folders that the layer has files in and does not describe, outer ones first: they should look as they do below. */
  readonly impliedFolders: readonly ByteString[];
  readonly usage?: TreeUsage | undefined;
}

export interface SettleTreeJob {
  readonly target: TreeSource;
  /** Folders that are to look as they do in the layers below the target's. */
  readonly impliedFolders: readonly ByteString[];
  /** Brings the target's filesystem to disk. */
  readonly syncFs: boolean;
}

export type DiffCompression = "none" | "gzip" | "zstd";

/** The archive itself goes to standard output. */
export interface DiffJob {
  readonly lower: readonly MountRequest[];
  readonly upper: readonly MountRequest[];
  /** A folder with two empty ones in it, `lower` and `upper`. Workers can share it. */
  readonly mountFolder: string;
  readonly compression: DiffCompression;
  /** No time in the archive is later. */
  readonly latestSeconds?: number | undefined;
}

export interface DiffResult {
  /** Of the uncompressed archive. */
  readonly digest: string;
}

/** The layer comes as a descriptor, read from where it stands; what becomes of it goes to standard output. */
export interface RepackJob {
  readonly from: DiffCompression;
  readonly to: DiffCompression;
}

export interface RepackResult {
  /** Of the unpacked archive. */
  readonly digest: string;
}

export interface CopyTreeJob {
  readonly from: string;
  readonly to: string;
}

/** A copy out of a container's root: the folder that is handed over as a descriptor, or the tree that is mounted for it. */
export interface CopyOutJob {
  readonly source: TreeSource | undefined;
  /** From the tree's top; `x/.` is what is in x, `x/` follows a link. */
  readonly path: string;
  readonly noWalk: boolean;
}

/** A copy into a container's root. The archive follows the job on standard input. */
export interface CopyInJob {
  readonly source: TreeSource | undefined;
  /** A folder that is there. */
  readonly path: string;
  readonly preserveOwnership: boolean;
  readonly limits: UnpackLimits;
}

export interface RemoveTreeJob {
  readonly paths: readonly string[];
}

export interface RemoveTreeResult {
  /** What kept folders from going, one line each. */
  readonly failures: readonly string[];
}

/** What is done to a mount before it is made. */
export type MountTransform = "format" | "mkdir" | "mkfs";

export interface MountStep {
  readonly request: MountRequest;
  /** In their order. */
  readonly transforms: readonly MountTransform[];
}

/** Mounts that stay: made in the mount namespace of the caller, each on a folder that is not there yet. */
export interface MountJob {
  /** The folders in which transforms may make things. */
  readonly roots: readonly string[];
  readonly steps: readonly (MountStep & { readonly mountPoint: string })[];
  /** One more that is transformed and not mounted. */
  readonly last: MountStep | undefined;
}

export interface MountedRequest extends MountRequest {
  readonly mountPoint: string;
  readonly mountedAt: { readonly seconds: number; readonly nanos: number };
}

export interface MountResult {
  readonly mounted: readonly MountedRequest[];
  readonly last?: MountRequest | undefined;
}

/** Folders that go with everything that is mounted on folders in them. */
export interface UnmountJob {
  readonly folders: readonly string[];
}

export interface UnmountResult {
  readonly failures: readonly { readonly folder: string; readonly message: string }[];
}

export type Nothing = Record<string, never>;

/** Every worker, with what it takes and what it answers. */
export interface WorkerJobs {
  readonly "copy-in": { readonly job: CopyInJob; readonly result: Nothing };
  readonly "copy-out": { readonly job: CopyOutJob; readonly result: Nothing };
  readonly "copy-tree": { readonly job: CopyTreeJob; readonly result: Nothing };
  readonly diff: { readonly job: DiffJob; readonly result: DiffResult };
  readonly mount: { readonly job: MountJob; readonly result: MountResult };
  readonly "remove-tree": { readonly job: RemoveTreeJob; readonly result: RemoveTreeResult };
  readonly repack: { readonly job: RepackJob; readonly result: RepackResult };
  readonly "settle-tree": { readonly job: SettleTreeJob; readonly result: Nothing };
  readonly unmount: { readonly job: UnmountJob; readonly result: UnmountResult };
  readonly unpack: { readonly job: UnpackJob; readonly result: UnpackResult };
  readonly "unpack-layers": { readonly job: LayerJob; readonly result: UnpackResult };
}

export type WorkerName = keyof WorkerJobs;
