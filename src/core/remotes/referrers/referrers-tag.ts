import type { Ctx } from "../../../lib/ctx.ts";
import { type Descriptor, descriptorJson, parseDescriptor } from "../../../lib/descriptor.ts";
import { fault } from "../../../lib/faults.ts";
import { ociIndex } from "../../../lib/media-types.ts";
import { readLimited } from "../http/limited-body.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import { maxManifestBytes } from "../registry/registry-resolver.ts";
import type { Repository } from "../registry/repository.ts";
import { parseReferrers } from "./referrers-index.ts";

/** What a manifest that refers to another says of itself. */
interface Referrer {
  readonly subject: Descriptor;
  readonly artifactType: string;
  readonly annotations: ReadonlyMap<string, string>;
}

/**
 * Lists a manifest under the tag that stands in for the referrers API, where a host has none.
 * Shape: a manifest without a subject is listed nowhere.
 * Effects: what others list at the same moment may be lost; a registry without the API has no way to prevent it.
 * Source: OCI distribution-spec, Pushing Manifests with Subject and Referrers Tag Schema.
 */
export async function listUnderSubject(
  ctx: Ctx,
  repository: Repository,
  host: RegistryHost,
  descriptor: Descriptor,
  manifest: Uint8Array,
): Promise<void> {
  const referrer = readReferrer(manifest);
  if (referrer === undefined) return;
  const request = {
    url: repository.url(host, `manifests/${referrer.subject.digest.replace(":", "-")}`),
    scopes: [repository.scope("pull,push")],
    isLast: true,
  };
  const known = await knownReferrers(ctx, repository, host, request);
  if (known.some(({ digest }) => digest === descriptor.digest)) return;
  const { mediaType, digest, sizeBytes } = descriptor;
  const { artifactType, annotations } = referrer;
  const entry = { mediaType, digest, sizeBytes, artifactType, ...(annotations.size === 0 ? {} : { annotations }) };
  const index = { schemaVersion: 2, mediaType: ociIndex, manifests: [...known, entry].map(descriptorJson) };
  const bytes = new TextEncoder().encode(JSON.stringify(index));
  const put = { ...request, method: "PUT", headers: { "content-type": ociIndex }, bodyBytes: bytes.length };
  await using answer = await repository.send(ctx, host, { ...put, body: () => bytes });
  if (![200, 201, 202, 204].includes(answer.status)) throw await repository.refused(put, answer);
}

async function knownReferrers(
  ctx: Ctx,
  repository: Repository,
  host: RegistryHost,
  request: { readonly url: URL; readonly scopes: readonly string[]; readonly isLast: boolean },
): Promise<readonly Descriptor[]> {
  const get = { ...request, method: "GET", headers: { accept: `${ociIndex}, */*` } };
  await using answer = await repository.send(ctx, host, get);
  if (answer.status === 404) return [];
  if (answer.status !== 200) throw await repository.refused(get, answer);
  const place = `${repository.spec.text}: registry host "${host.name}"`;
  return parseReferrers(await readLimited(answer, maxManifestBytes, place), place);
}

/** Errors: invalidArgument (a subject that is none). What is no JSON has none: the registry judges it. */
function readReferrer(manifest: Uint8Array): Referrer | undefined {
  let document: Readonly<Record<string, unknown>> | null;
  try {
    document = JSON.parse(new TextDecoder().decode(manifest));
  } catch {
    // The registry took it; it is nothing that we know how to list.
    return undefined;
  }
  const subject = document?.["subject"];
  if (subject === undefined || subject === null) return undefined;
  const config = document?.["config"] as { readonly mediaType?: unknown } | undefined;
  const type = document?.["artifactType"] ?? config?.mediaType;
  const annotations = document?.["annotations"] ?? {};
  if (typeof annotations !== "object" || annotations === null) throw fault("invalidArgument", "manifest: annotations");
  return {
    subject: parseDescriptor(subject, "manifest: subject"),
    artifactType: typeof type === "string" ? type : "",
    annotations: new Map(Object.entries(annotations).filter(([, value]) => typeof value === "string")),
  };
}
