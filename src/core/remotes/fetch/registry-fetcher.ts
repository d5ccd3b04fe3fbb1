import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import type { Digest } from "../../../lib/digest.ts";
import { fault, isFault } from "../../../lib/faults.ts";
import type { Slots } from "../../../lib/slots.ts";
import type { ContentStore } from "../../content/index.ts";
import type { Backoff } from "../http/backoff.ts";
import { listReferrers } from "../referrers/referrers.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import { manifestAccept } from "../registry/registry-resolver.ts";
import type { Repository } from "../registry/repository.ts";
import type { Fetcher, FetchIntoOptions, FetchOptions } from "../remotes.ts";
import { downloadContent } from "./content-download.ts";
import { rangedDownload } from "./ranged-download.ts";
import { steadyDownload } from "./steady-download.ts";

export interface RegistryFetcherOptions {
  readonly repository: Repository;
  readonly backoff: Backoff;
  readonly slots: Slots | undefined;
  readonly chunkBytes: number;
  readonly maxRanges: number;
}

/** Ranges shorter than this cost more than they bring. */
const minChunkBytes = 64 * 1024;

/** Reads from a repository at its hosts. Source: containerd core/remotes/docker/fetcher.go. */
export class RegistryFetcher implements Fetcher {
  readonly #options: RegistryFetcherOptions;
  readonly #repository: Repository;

  constructor(options: RegistryFetcherOptions) {
    this.#options = options;
    this.#repository = options.repository;
  }

  fetch(ctx: Ctx, descriptor: Descriptor, options: FetchOptions = {}): AsyncIterable<Uint8Array> {
    return this.#fetch(ctx, descriptor, options.offset ?? 0, { avoid: new Set(), used: new Set() });
  }

  fetchInto(ctx: Ctx, descriptor: Descriptor, store: ContentStore, options: FetchIntoOptions = {}): Promise<boolean> {
    const hosts = { avoid: new Set<RegistryHost>(), used: new Set<RegistryHost>() };
    const source = {
      text: this.#repository.spec.text,
      fetch: (of: Ctx, offset: number) => this.#fetch(of, descriptor, offset, hosts),
      disowned: () => {
        for (const host of hosts.used) hosts.avoid.add(host);
        hosts.used.clear();
        return this.#repository.hostsFor("pull").some((host) => !hosts.avoid.has(host));
      },
    };
    return downloadContent(ctx, descriptor, store, source, options);
  }

  /** Source: containerd core/remotes/docker/fetcher.go, FetchByDigest. */
  async describe(ctx: Ctx, digest: Digest, mediaType = ""): Promise<Descriptor> {
    const repository = this.#repository;
    const hosts = repository.hostsFor("pull");
    for (const kind of ["blobs", "manifests"]) {
      try {
        return await repository.anyOf(ctx, hosts, async (host, isLast) => {
          await using answer = await repository.send(ctx, host, {
            method: "HEAD",
            url: repository.url(host, `${kind}/${digest}`),
            headers: { accept: kind === "manifests" ? manifestAccept : "*/*" },
            scopes: [repository.scope("pull")],
            isLast,
            isChecked: true,
          });
          if (answer.status === 404) throw fault("notFound", `${repository.spec.text}: ${digest}`);
          if (answer.status > 299) throw await repository.refused({ method: "HEAD" }, answer);
          if (answer.bodyBytes === undefined) {
            throw fault(
              "dataLoss",
              `${repository.spec.text}: registry host "${host.name}" does not say how large ${digest} is`,
            );
          }
          const served = answer.headers.get("content-type")?.split(";", 1)[0] ?? "";
          const known = kind === "manifests" ? served : "application/octet-stream";
          return { mediaType: mediaType === "" ? known : mediaType, digest, sizeBytes: answer.bodyBytes };
        });
      } catch (error) {
        if (!isFault(error, "notFound")) throw error;
      }
    }
    throw fault("notFound", `${repository.spec.text}: could not fetch content ${digest} from remote`);
  }

  fetchReferrers(ctx: Ctx, subject: Digest, artifactTypes: readonly string[] = []): Promise<readonly Descriptor[]> {
    return listReferrers(ctx, this.#repository, subject, artifactTypes);
  }

  async *#fetch(
    ctx: Ctx,
    descriptor: Descriptor,
    offset: number,
    hosts: { readonly avoid: Set<RegistryHost>; readonly used: Set<RegistryHost> },
  ): AsyncGenerator<Uint8Array> {
    const { repository, backoff, slots, maxRanges } = this.#options;
    const part = { from: offset, to: descriptor.sizeBytes };
    if (part.from >= part.to) return;
    const onHost = (host: RegistryHost): void => void hosts.used.add(host);
    const steady = { repository, descriptor, backoff, avoid: hosts.avoid, onHost };
    using _slot = await slots?.take(ctx.signal);
    const chunkBytes = this.#options.chunkBytes === 0 ? 0 : Math.max(this.#options.chunkBytes, minChunkBytes);
    if (chunkBytes === 0 || part.to - part.from <= chunkBytes) {
      yield* steadyDownload(ctx, part, steady);
      return;
    }
    yield* rangedDownload(ctx, part, {
      chunkBytes,
      maxRanges,
      slots,
      fetch: (of, range, needsRanges) => steadyDownload(of, range, { ...steady, needsRanges }),
    });
  }
}
