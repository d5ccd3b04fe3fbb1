import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { Platform } from "../../lib/platforms.ts";
import type { CredentialsSource } from "../remotes/index.ts";
import type { ByteSink } from "../streaming/index.ts";
import type { UnpackableImage, UnpackProgress } from "../unpack/index.ts";
import type { ContainerCopies } from "./container-copies.ts";
import type { Referrers } from "./referrers.ts";

/** One line of a transfer's story. Source: containerd core/transfer/transfer.go, Progress. */
export interface TransferProgress {
  readonly event: string;
  readonly name?: string | undefined;
  readonly parents?: readonly string[] | undefined;
  readonly progress?: number | undefined;
  readonly total?: number | undefined;
  readonly descriptor?: Descriptor | undefined;
}

export type OnTransferProgress = (progress: TransferProgress) => void;

/** An image in a registry. */
export interface RegistryEndpoint {
  readonly kind: "registry";
  readonly reference: string;
  readonly headers: ReadonlyMap<string, string>;
  readonly hostFolder: string;
  readonly defaultScheme: string;
  readonly credentials: CredentialsSource | undefined;
  /** Takes a line for each request. */
  readonly onHttp: ((line: string) => void) | undefined;
}

/** Which further names an image is stored or found under. Source: containerd core/transfer/image/imagestore.go, Reference. */
export interface ExtraReference {
  readonly name: string;
  /** The name is the beginning of others; a tag or digest completes it. */
  readonly isPrefix: boolean;
  /** A whole name that the image brings along counts though it begins otherwise. */
  readonly allowOverwrite: boolean;
  readonly addDigest: boolean;
  readonly skipNamedDigest: boolean;
}

export interface UnpackRequest {
  readonly platform: Platform;
  /** Empty for the platform's usual one. */
  readonly snapshotter: string;
}

/** Images in the daemon's store. */
export interface StoreEndpoint {
  readonly kind: "store";
  readonly name: string;
  readonly labels: ReadonlyMap<string, string>;
  /** Empty for all. */
  readonly platforms: readonly Platform[];
  /** Manifests and configs of other platforms too. */
  readonly allMetadata: boolean;
  /** 0 for all. */
  readonly manifestLimit: number;
  readonly extraReferences: readonly ExtraReference[];
  readonly unpacks: readonly UnpackRequest[];
}

/** An archive of images that a client sends. */
export interface ImportEndpoint {
  readonly kind: "import";
  readonly bytes: AsyncIterable<Uint8Array>;
  /** Empty when it may be compressed. */
  readonly mediaType: string;
  readonly forceCompress: boolean;
}

/** An archive of images that a client takes. */
export interface ExportEndpoint {
  readonly kind: "export";
  readonly sink: ByteSink;
  readonly mediaType: string;
  readonly platforms: readonly Platform[];
  readonly allPlatforms: boolean;
  readonly skipCompatibilityManifest: boolean;
  readonly skipNonDistributable: boolean;
}

/** A plain stream of bytes: a file, or a tar of files, in or out. */
export interface ReadEndpoint {
  readonly kind: "read";
  readonly bytes: AsyncIterable<Uint8Array>;
  readonly mediaType: string;
}

export interface WriteEndpoint {
  readonly kind: "write";
  readonly sink: ByteSink;
  readonly mediaType: string;
}

/** A path in a container's root. */
export interface ContainerEndpoint {
  readonly kind: "container";
  readonly containerId: string;
  readonly path: string;
  /** Only the file or folder itself, not what is in it. */
  readonly noWalk: boolean;
  readonly preserveOwnership: boolean;
}

export type Endpoint =
  | RegistryEndpoint
  | StoreEndpoint
  | ImportEndpoint
  | ExportEndpoint
  | ReadEndpoint
  | WriteEndpoint
  | ContainerEndpoint
  /** Something that nobody here knows. */
  | { readonly kind: "unknown"; readonly typeUrl: string };

/** Moves images, and other things, from one place to another. */
export interface Transferrer {
  /**
   * Errors: notImplemented (no way leads from one to the other); whatever goes wrong on the way.
   * Effects: what comes in is kept by a lease of 24 hours until it is stored, where the caller has none.
   */
  transfer(ctx: Ctx, source: Endpoint, destination: Endpoint, onProgress?: OnTransferProgress): Promise<void>;
  /** What refers to an image in its registry. Errors: as a pull's. */
  referrers(ctx: Ctx, registry: RegistryEndpoint, artifactTypes: readonly string[]): Promise<Referrers>;
  /**
   * Makes snapshots of an image that is in the content store. Errors: notImplemented (nothing unpacks it there), notFound (content),
   * and as Unpacker.unpack.
   * Effects: what is not done yet is kept by a lease of 24 hours, where the caller has none.
   */
  unpack(ctx: Ctx, image: UnpackableImage, snapshotter: string, progress?: UnpackProgress): Promise<void>;
  /** From now on it copies with containers, too. */
  useContainers(copies: ContainerCopies): void;
}
