import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import type { Digest } from "../../../lib/digest.ts";
import { FaultError, fault, isFault, quote } from "../../../lib/faults.ts";
import { ociIndex } from "../../../lib/media-types.ts";
import type { HttpAnswer } from "../http/http-client.ts";
import { readLimited } from "../http/limited-body.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import { maxManifestBytes } from "../registry/registry-resolver.ts";
import type { Repository } from "../registry/repository.ts";
import { parseReferrers } from "./referrers-index.ts";

/** A list of more pages, or of more entries, is not meant. */
const maxPages = 64;
const maxReferrers = 10_000;

/**
 * What refers to a manifest: by the API, page after page, else by the tag that stands in for it.
 * Errors: dataLoss (what a host answers is no list), failedPrecondition (a list that leads elsewhere or does not end).
 * Source: OCI distribution-spec, Listing Referrers; containerd core/remotes/docker/referrers.go.
 */
export async function listReferrers(
  ctx: Ctx,
  repository: Repository,
  subject: Digest,
  artifactTypes: readonly string[],
): Promise<readonly Descriptor[]> {
  const able = repository.hostsFor("referrers");
  const fallback = able.length > 0 ? able : repository.hostsFor("resolve");
  const query = artifactTypes.map((type) => ["artifactType", type] as const);
  const found =
    (await firstList(ctx, repository, able, `referrers/${subject}`, query)) ??
    (await firstList(ctx, repository, fallback, `manifests/${subject.replace(":", "-")}`, [])) ??
    [];
  return artifactTypes.length === 0 ? found : found.filter((one) => artifactTypes.includes(one.artifactType ?? ""));
}

async function firstList(
  ctx: Ctx,
  repository: Repository,
  hosts: readonly RegistryHost[],
  path: string,
  query: readonly (readonly [string, string])[],
): Promise<readonly Descriptor[] | undefined> {
  if (hosts.length === 0) return undefined;
  try {
    return await repository.anyOf(ctx, hosts, (host, isLast) =>
      allPages(ctx, repository, host, isLast, repository.url(host, path, query)),
    );
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

async function allPages(
  ctx: Ctx,
  repository: Repository,
  host: RegistryHost,
  isLast: boolean,
  first: URL,
): Promise<readonly Descriptor[]> {
  const place = `${repository.spec.text}: registry host "${host.name}"`;
  const all: Descriptor[] = [];
  let url: URL | undefined = first;
  for (let pages = 0; url !== undefined; pages++) {
    if (pages === maxPages || all.length > maxReferrers) {
      throw new FaultError("failedPrecondition", `${place}: its list of referrers does not end`);
    }
    const request = {
      method: "GET",
      url,
      headers: { accept: `${ociIndex}, */*` },
      scopes: [repository.scope("pull")],
      isLast,
    };
    await using answer = await repository.send(ctx, host, request);
    if (answer.status === 404) throw fault("notFound", `${place}: ${url.pathname}`);
    if (answer.status > 299) throw await repository.refused(request, answer);
    all.push(...parseReferrers(await readLimited(answer, maxManifestBytes, place), place));
    url = nextPage(answer, host, place);
  }
  return all;
}

/** Where the list goes on. Errors: failedPrecondition when that is another host. Source: RFC 8288. */
function nextPage(answer: HttpAnswer, host: RegistryHost, place: string): URL | undefined {
  const link = /<([^<>]{1,2048})>\s*;[^,]*\brel="?next"?/i.exec((answer.headers.get("link") ?? "").slice(0, 16_384));
  if (link === null) return undefined;
  const next = URL.parse(link[1] as string, answer.url.href);
  if (next?.origin === host.origin.origin) return next;
  throw new FaultError(
    "failedPrecondition",
    `${place}: its list of referrers goes on at ${quote(link[1] as string)}, which is elsewhere`,
  );
}
