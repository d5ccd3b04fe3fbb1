import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import { FaultError, fault, isFault, quote, wrapFault } from "../../../lib/faults.ts";
import { pause } from "../../../lib/pause.ts";
import { type Backoff, pauseMs } from "../http/backoff.ts";
import type { HttpAnswer } from "../http/http-client.ts";
import { TransportError } from "../http/transport-error.ts";
import type { HostRequest } from "../registry/exchange.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import type { Repository } from "../registry/repository.ts";
import type { OnProgress, PushOutcome, PushSource } from "../remotes.ts";

export interface BlobUploadOptions {
  readonly repository: Repository;
  readonly host: RegistryHost;
  readonly descriptor: Descriptor;
  readonly source: PushSource;
  readonly backoff: Backoff;
  readonly chunkBytes: number;
  readonly onProgress: OnProgress | undefined;
}

/** The pieces in which a blob goes to a host that does not take it in one, and the smallest they become. */
const smallerChunkBytes = 8 << 20;
const smallestChunkBytes = 4 << 20;

/** Where an upload goes on and how much of it is there. */
interface Session {
  readonly url: URL;
  readonly offset: number;
}

/**
 * Uploads one blob.
 * Source: OCI distribution-spec, Pushing Blobs; containerd core/remotes/docker/pusher.go.
 */
export class BlobUpload {
  readonly #options: BlobUploadOptions;
  #chunkBytes: number;
  #minimumBytes = 0;
  /** As the host last said: an older address may be taken for a mistake, and the upload for lost. */
  #session!: Session;

  constructor(options: BlobUploadOptions) {
    this.#options = options;
    this.#chunkBytes = options.chunkBytes;
  }

  /** Mounts the blob from that repository, or uploads it, going on where a broken connection left it. */
  async run(ctx: Ctx, from: string | undefined): Promise<PushOutcome> {
    const { backoff, descriptor, repository } = this.#options;
    let session = await this.#begin(ctx, from);
    for (let failures = 0, furthest = 0; session !== "mounted"; ) {
      this.#session = session;
      try {
        await this.#send(ctx);
        return "pushed";
      } catch (error) {
        if (!isBroken(error)) throw error;
        const there: Session | undefined = await this.#stateOf(ctx, this.#session);
        const offset = there?.offset ?? 0;
        failures = offset > furthest ? 1 : failures + 1;
        furthest = Math.max(furthest, offset);
        if (failures >= backoff.maxAttempts) throw wrapFault(`${repository.spec.text}: ${descriptor.digest}`, error);
        this.#takeSmallerPieces();
        ctx.log.info("upload broke, going on", { digest: descriptor.digest, offset, chunkBytes: this.#chunkBytes });
        await pause(pauseMs(backoff, failures), ctx.signal);
        session = there ?? (await this.#begin(ctx, undefined));
      }
    }
    return "mounted";
  }

  /** Opens an upload, unless the host can take the blob from another of its repositories. */
  async #begin(ctx: Ctx, from: string | undefined): Promise<Session | "mounted"> {
    const { descriptor, repository } = this.#options;
    if (from !== undefined) {
      const mounted = await this.#mount(ctx, from);
      if (mounted !== undefined) return mounted;
    }
    const request = this.#request("POST", this.#options.repository.url(this.#options.host, "blobs/uploads/"));
    await using answer = await repository.send(ctx, this.#options.host, { ...request, bodyBytes: 0 });
    if (answer.status === 201) return "mounted";
    if (![200, 202, 204].includes(answer.status)) throw await repository.refused(request, answer);
    this.#respectMinimum(answer);
    return { url: this.#location(answer, descriptor), offset: 0 };
  }

  async #mount(ctx: Ctx, from: string): Promise<Session | "mounted" | undefined> {
    const { descriptor, repository, host } = this.#options;
    const url = repository.url(host, "blobs/uploads/", [
      ["mount", descriptor.digest],
      ["from", from],
    ]);
    const request = this.#request("POST", url);
    try {
      const scopes = [...request.scopes, `repository:${from}:pull`];
      await using answer = await repository.send(ctx, host, { ...request, scopes, bodyBytes: 0 });
      if (answer.status === 201) return "mounted";
      if (answer.status !== 202) return undefined;
      return { url: this.#location(answer, descriptor), offset: 0 };
    } catch (error) {
      // That repository may be one which we must not see: then the blob goes over.
      if (!isFault(error, "unauthenticated") && !isFault(error, "permissionDenied")) throw error;
      ctx.log.debug("failed to mount from repository, not authorized", { from });
      return undefined;
    }
  }

  async #send(ctx: Ctx): Promise<void> {
    const { sizeBytes } = this.#options.descriptor;
    // What is there already was sent in a piece; the rest then has to be one too.
    const chunked = this.#chunkBytes > 0 || this.#session.offset > 0;
    while (chunked && this.#session.offset < sizeBytes) {
      const { url, offset } = this.#session;
      const size = this.#chunkBytes > 0 ? this.#chunkBytes : sizeBytes;
      this.#session = await this.#patch(ctx, url, offset, Math.min(offset + size, sizeBytes));
    }
    await this.#put(ctx, this.#session.url, chunked ? sizeBytes : 0);
  }

  async #patch(ctx: Ctx, url: URL, from: number, to: number): Promise<Session> {
    const { repository, host, descriptor } = this.#options;
    const request = this.#request("PATCH", url, {
      "content-type": "application/octet-stream",
      "content-range": `${from}-${to - 1}`,
    });
    const body = (): AsyncIterable<Uint8Array> => this.#bytes(from, to);
    await using answer = await repository.send(ctx, host, { ...request, body, bodyBytes: to - from, isLast: false });
    if (![200, 201, 202, 204].includes(answer.status)) throw await repository.refused(request, answer);
    return { url: this.#location(answer, descriptor), offset: to };
  }

  async #put(ctx: Ctx, url: URL, from: number): Promise<void> {
    const { repository, host, descriptor } = this.#options;
    const final = new URL(url);
    final.searchParams.set("digest", descriptor.digest);
    const bodyBytes = descriptor.sizeBytes - from;
    const request = this.#request("PUT", final, { "content-type": "application/octet-stream" });
    const body = bodyBytes === 0 ? undefined : () => this.#bytes(from, descriptor.sizeBytes);
    await using answer = await repository.send(ctx, host, { ...request, body, bodyBytes, isLast: bodyBytes === 0 });
    if (![200, 201, 202, 204].includes(answer.status)) throw await repository.refused(request, answer);
  }

  /** What the host has of an upload; undefined when it no longer knows it. */
  async #stateOf(ctx: Ctx, session: Session): Promise<Session | undefined> {
    const { repository, host, descriptor } = this.#options;
    await using answer = await repository.send(ctx, host, this.#request("GET", session.url));
    if (answer.status !== 204 && answer.status !== 200) return undefined;
    const range = /^(?:bytes=)?0-(\d{1,15})$/.exec(answer.headers.get("range") ?? "");
    // `0-0` is how an upload without a byte is told of: of the two meanings this one costs a byte at most.
    const offset = range === null || range[1] === "0" ? 0 : Number(range[1]) + 1;
    if (offset > descriptor.sizeBytes) return undefined;
    const location = answer.headers.get("location");
    return { url: location === null ? session.url : this.#location(answer, descriptor), offset };
  }

  async *#bytes(from: number, to: number): AsyncGenerator<Uint8Array> {
    const { source, descriptor, onProgress, repository } = this.#options;
    let at = from;
    for await (const bytes of source.read(from)) {
      const taken = bytes.length > to - at ? bytes.subarray(0, to - at) : bytes;
      at += taken.length;
      if (taken.length > 0) yield taken;
      onProgress?.(at, descriptor.sizeBytes);
      if (at >= to) return;
    }
    throw fault("dataLoss", `${repository.spec.text}: ${descriptor.digest} ended ${to - at} bytes too early`);
  }

  #request(method: string, url: URL, headers: Readonly<Record<string, string>> = {}): HostRequest {
    return { method, url, headers, scopes: [this.#options.repository.scope("pull,push")], isLast: true };
  }

  /** The address at which an upload goes on. */
  #location(answer: HttpAnswer, { digest }: Descriptor): URL {
    const text = answer.headers.get("location");
    const url = text === null ? null : URL.parse(text, answer.url.href);
    if (url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
      const { repository, host } = this.#options;
      const why =
        text === null
          ? "gives no Location"
          : `gives the Location ${quote(text.slice(0, 256))}, which is no web address,`;
      throw new FaultError(
        "unknown",
        `${repository.spec.text}: registry host "${host.name}" ${why} for the upload of ${digest}`,
      );
    }
    url.username = "";
    url.password = "";
    return url;
  }

  /** Hosts forget the whole of a piece that broke: smaller ones lose less. */
  #takeSmallerPieces(): void {
    const half = Math.max(this.#chunkBytes / 2, smallestChunkBytes);
    this.#chunkBytes = this.#chunkBytes === 0 ? smallerChunkBytes : Math.max(Math.ceil(half), this.#minimumBytes);
  }

  #respectMinimum(answer: HttpAnswer): void {
    const minimum = Number(answer.headers.get("oci-chunk-min-length") ?? 0);
    if (!(minimum > 0 && minimum <= 1 << 30)) return;
    this.#minimumBytes = minimum;
    if (this.#chunkBytes > 0) this.#chunkBytes = Math.max(this.#chunkBytes, minimum);
  }
}

/** Whether what the host has may be gone on with. */
function isBroken(error: unknown): boolean {
  if (error instanceof TransportError) return !error.lasting;
  if (!(error instanceof FaultError)) return false;
  if (error.cause instanceof TransportError) return !error.cause.lasting;
  // 413: a proxy before the host takes no body of that size.
  return [408, 413, 416, 429, 500, 502, 503, 504].includes(Number((error as { status?: unknown }).status));
}
