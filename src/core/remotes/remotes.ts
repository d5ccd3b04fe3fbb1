import type { Ctx } from "../../lib/ctx.ts";
import type { Descriptor } from "../../lib/descriptor.ts";
import type { Digest } from "../../lib/digest.ts";
import type { Slots } from "../../lib/slots.ts";
import type { ContentStore } from "../content/index.ts";
import type { HostHealth } from "./hosts/host-health.ts";
import type { Backoff } from "./http/backoff.ts";

export type { Descriptor } from "../../lib/descriptor.ts";

/** What is known of a reference: its name as it was asked for and what it stands for. */
export interface Resolved {
  readonly name: string;
  readonly descriptor: Descriptor;
}

/**
 * Where images come from and go to, by reference.
 * Shape: `ref` is `host[:port]/repository[:tag][@digest]`, host included.
 * Errors: every failure names host and reference; notFound, unauthenticated, permissionDenied, resourceExhausted (429),
 * unavailable (no host answers), invalidArgument, dataLoss (the host's answer is wrong).
 */
export interface Resolver {
  /** Asks what a tag or digest stands for. Errors: also notImplemented (schema 1). */
  resolve(ctx: Ctx, ref: string): Promise<Resolved>;
  /** Reads from the ref's repository. */
  fetcher(ctx: Ctx, ref: string): Promise<Fetcher>;
  /** Writes to the ref's repository; a manifest of the ref's digest, or any when it names none, gets the ref's tag. */
  pusher(ctx: Ctx, ref: string): Promise<Pusher>;
}

export interface FetchOptions {
  /** Where to begin. */
  readonly offset?: number | undefined;
}

/** What is told as bytes come and go: how many of the whole are there. */
export type OnProgress = (offset: number, totalBytes: number) => void;

export interface FetchIntoOptions {
  /** The ingest's ref; `makeRefKey` of the descriptor when left out. */
  readonly ref?: string | undefined;
  readonly labels?: ReadonlyMap<string, string> | undefined;
  readonly onProgress?: OnProgress | undefined;
  /**
   * Is told, before anything is fetched, how many bytes an earlier attempt has left in the ingest, and the file that they come
   * to; again if all begins anew.
   */
  readonly onOpen?: ((offset: number, file: string | undefined) => void) | undefined;
  /**
   * Is told how many bytes are in the ingest's file, before their digest is known: what unpacks while it downloads. An error
   * ends the download.
   */
  readonly onGrown?: ((offset: number) => void) | undefined;
}

export interface Fetcher {
  /**
   * The bytes from `offset` on, in order, the length being checked and the digest not.
   * Effects: goes on by itself, by range, where a connection broke; waits and tries again on 408, 429 and 5xx.
   */
  fetch(ctx: Ctx, descriptor: Descriptor, options?: FetchOptions): AsyncIterable<Uint8Array>;
  /**
   * Downloads into the content store, going on where an earlier attempt or daemon stopped; digest and length are checked.
   * Shape: false when the content was there already.
   * Errors: also unavailable (someone else writes that ref).
   * Effects: a failure keeps what came in for the next attempt, unless it is what failed the digest.
   */
  fetchInto(ctx: Ctx, descriptor: Descriptor, store: ContentStore, options?: FetchIntoOptions): Promise<boolean>;
  /** Finds size and media type of what is known by digest only, manifest or blob. */
  describe(ctx: Ctx, digest: Digest, mediaType?: string): Promise<Descriptor>;
  /** What refers to the subject: by the API, else by the tag that stands in for it; none when the host knows of none. */
  fetchReferrers(ctx: Ctx, subject: Digest, artifactTypes?: readonly string[]): Promise<readonly Descriptor[]>;
}

/** Bytes to push: read again from any offset, once for each attempt. */
export interface PushSource {
  read(offset: number): AsyncIterable<Uint8Array>;
}

export interface PushOptions {
  readonly onProgress?: OnProgress | undefined;
}

/** How a push ended: the bytes went over, or the host had them, or took them from another of its repositories. */
export type PushOutcome = "pushed" | "exists" | "mounted";

export interface Pusher {
  /**
   * Pushes one blob or manifest; its children have to be there before a manifest is.
   * Shape: annotations `containerd.io/distribution.source.HOST` name repositories to mount from, comma-separated.
   * Effects: goes on where the host says it stopped when a connection broke.
   */
  push(ctx: Ctx, descriptor: Descriptor, source: PushSource, options?: PushOptions): Promise<PushOutcome>;
}

/** How to prove who one is. An empty username with a secret is a refresh token; a header is sent as it is. */
export interface Credentials {
  readonly username?: string | undefined;
  readonly secret?: string | undefined;
  /** The whole value of Authorization. */
  readonly header?: string | undefined;
}

/** Asks for credentials when a host wants them; undefined is anonymous. */
export type CredentialsSource = (ctx: Ctx, host: string, ref: string) => Promise<Credentials | undefined>;

export interface ResolverOptions {
  /** The folder of hosts.toml and certificates, by host: containerd's config_path. Several are tried in order. */
  readonly hostFolders?: readonly string[] | undefined;
  /** `http` or `https` for hosts that nothing is configured for. */
  readonly defaultScheme?: string | undefined;
  readonly credentials?: CredentialsSource | undefined;
  /** Sent with every request. */
  readonly headers?: ReadonlyMap<string, string> | undefined;
  /** A body is fetched while it has one of these places; without them the caller sees to how many are fetched at once. */
  readonly downloads?: Slots | undefined;
  /** A blob larger than this is fetched by several ranges of this size at once; 0, or left out, is never. */
  readonly chunkBytes?: number | undefined;
  /** How many ranges of one blob; 4 when left out. */
  readonly maxRanges?: number | undefined;
  /** Blobs are uploaded in pieces of this size; 0, or left out, in one piece. */
  readonly uploadChunkBytes?: number | undefined;
  /** What is known of which hosts answer; one for all resolvers of a process, so that a dead mirror costs little. */
  readonly health?: HostHealth | undefined;
  /** How tries follow each other. */
  readonly backoff?: Backoff | undefined;
  /** Takes a line for each request and answer, without secrets. */
  readonly onHttp?: ((line: string) => void) | undefined;
  /** Takes what hosts say in Warning headers. */
  readonly onWarning?: ((ref: string, warning: string) => void) | undefined;
}
