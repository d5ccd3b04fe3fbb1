import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import { FaultError, fault, isFault, wrapFault } from "../../../lib/faults.ts";
import { isIndexType, isManifestType } from "../../../lib/media-types.ts";
import { mountCandidate } from "../distribution-source.ts";
import type { Backoff } from "../http/backoff.ts";
import { listUnderSubject } from "../referrers/referrers-tag.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import { maxManifestBytes } from "../registry/registry-resolver.ts";
import type { Repository } from "../registry/repository.ts";
import type { Pusher, PushOptions, PushOutcome, PushSource } from "../remotes.ts";
import { BlobUpload } from "./blob-upload.ts";

export interface RegistryPusherOptions {
  readonly repository: Repository;
  readonly backoff: Backoff;
  /** Blobs go in pieces of this size; 0 is in one. */
  readonly chunkBytes: number;
}

/** Writes to a repository at the first host that takes pushes. Source: containerd core/remotes/docker/pusher.go. */
export class RegistryPusher implements Pusher {
  readonly #options: RegistryPusherOptions;
  readonly #repository: Repository;

  constructor(options: RegistryPusherOptions) {
    this.#options = options;
    this.#repository = options.repository;
  }

  async push(ctx: Ctx, descriptor: Descriptor, source: PushSource, options: PushOptions = {}): Promise<PushOutcome> {
    const repository = this.#repository;
    const [host] = repository.hostsFor("push");
    if (host === undefined) throw fault("notFound", `${repository.spec.text}: no push hosts`);
    const isManifest = isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType);
    const path = isManifest ? manifestPath(repository, descriptor) : `blobs/${descriptor.digest}`;
    if (await this.#exists(ctx, host, descriptor, path)) {
      options.onProgress?.(descriptor.sizeBytes, descriptor.sizeBytes);
      return "exists";
    }
    try {
      return isManifest
        ? await this.#putManifest(ctx, host, descriptor, path, source, options)
        : await this.#pushBlob(ctx, host, descriptor, source, options);
    } catch (error) {
      if (!isFault(error, "unauthenticated") && !isFault(error, "permissionDenied")) throw error;
      throw wrapFault("push access denied, repository does not exist or may require authorization", error);
    }
  }

  /** Whether the host has it; under a tag only what the tag stands for counts. */
  async #exists(ctx: Ctx, host: RegistryHost, descriptor: Descriptor, path: string): Promise<boolean> {
    const repository = this.#repository;
    const request = {
      method: "HEAD",
      url: repository.url(host, path),
      headers: { accept: `${descriptor.mediaType}, */*` },
      scopes: [repository.scope("pull,push")],
      isLast: true,
    };
    await using answer = await repository.send(ctx, host, request);
    if (answer.status === 404) return false;
    if (answer.status === 401 || answer.status === 403) {
      // Whoever may push need not be allowed to look.
      ctx.log.debug("unable to check existence, continuing with push", { host: host.name, status: answer.status });
      return false;
    }
    if (answer.status !== 200) throw await repository.refused(request, answer);
    return path.endsWith(descriptor.digest) || answer.headers.get("docker-content-digest") === descriptor.digest;
  }

  async #putManifest(
    ctx: Ctx,
    host: RegistryHost,
    descriptor: Descriptor,
    path: string,
    source: PushSource,
    options: PushOptions,
  ): Promise<PushOutcome> {
    const repository = this.#repository;
    const bytes = await readAll(source, descriptor, repository.spec.text);
    const request = {
      method: "PUT",
      url: repository.url(host, path),
      headers: { "content-type": descriptor.mediaType },
      scopes: [repository.scope("pull,push")],
      body: () => bytes,
      bodyBytes: bytes.length,
      isLast: true,
    };
    await using answer = await repository.send(ctx, host, request);
    if (![200, 201, 202, 204].includes(answer.status)) throw await repository.refused(request, answer);
    const stored = answer.headers.get("docker-content-digest");
    if (stored !== null && stored.startsWith("sha256:") && stored !== descriptor.digest) {
      const place = `${repository.spec.text}: registry host "${host.name}"`;
      throw fault("dataLoss", `${place} stored ${stored} where ${descriptor.digest} was pushed`);
    }
    // A host with the referrers API says that it has seen the subject.
    if (answer.headers.get("oci-subject") === null) await listUnderSubject(ctx, repository, host, descriptor, bytes);
    options.onProgress?.(descriptor.sizeBytes, descriptor.sizeBytes);
    return "pushed";
  }

  async #pushBlob(
    ctx: Ctx,
    host: RegistryHost,
    descriptor: Descriptor,
    source: PushSource,
    options: PushOptions,
  ): Promise<PushOutcome> {
    const repository = this.#repository;
    const { backoff, chunkBytes } = this.#options;
    const upload = new BlobUpload({
      repository,
      host,
      descriptor,
      source,
      backoff,
      chunkBytes,
      onProgress: options.onProgress,
    });
    const from = mountCandidate(repository.spec, descriptor.annotations);
    const outcome = await upload.run(ctx, from);
    options.onProgress?.(descriptor.sizeBytes, descriptor.sizeBytes);
    return outcome;
  }
}

/** Where a manifest is put: under the ref's tag when it is what the ref is about, else under its digest. */
function manifestPath({ spec }: Repository, { digest }: Descriptor): string {
  const isMeant = spec.digest === "" || spec.digest === digest;
  return `manifests/${isMeant && spec.tag !== "" ? spec.tag : digest}`;
}

async function readAll(source: PushSource, descriptor: Descriptor, text: string): Promise<Uint8Array> {
  if (descriptor.sizeBytes > maxManifestBytes) {
    throw new FaultError(
      "resourceExhausted",
      `${text}: manifest ${descriptor.digest} of ${descriptor.sizeBytes} bytes is larger than registries take`,
    );
  }
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const bytes of source.read(0)) {
    size += bytes.length;
    if (size > descriptor.sizeBytes) break;
    parts.push(bytes.slice());
  }
  if (size !== descriptor.sizeBytes)
    throw fault("dataLoss", `${text}: ${descriptor.digest} is not ${descriptor.sizeBytes} bytes long`);
  return Buffer.concat(parts);
}
