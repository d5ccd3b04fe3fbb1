import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import { type Digest, digestOf, digestProblem, parseDigest } from "../../../lib/digest.ts";
import { FaultError, fault, isFault, quote, wrapFault } from "../../../lib/faults.ts";
import {
  dockerManifest,
  dockerManifestList,
  dockerSchema1Manifest,
  ociIndex,
  ociManifest,
} from "../../../lib/media-types.ts";
import type { HttpAnswer } from "../http/http-client.ts";
import { readLimited } from "../http/limited-body.ts";
import type { RegistryHost } from "./registry-host.ts";
import type { Repository } from "./repository.ts";

/** The largest manifest that is taken from a registry. Source: containerd core/remotes/docker/resolver.go, MaxManifestSize. */
export const maxManifestBytes: number = 4 * 1048 * 1048;

/** What is asked for as a manifest: some hosts have nothing but what is named. */
export const manifestAccept: string = [dockerManifest, dockerManifestList, ociManifest, ociIndex, "*/*"].join(", ");
/** What hosts say that do not know what they serve. */
const vagueTypes: ReadonlySet<string> = new Set(["", "application/json", "application/octet-stream"]);

/**
 * Asks the hosts of a repository what its reference stands for.
 * Errors: notFound, unauthenticated, notImplemented (schema 1), dataLoss (the answer is not what was asked for).
 * Source: containerd core/remotes/docker/resolver.go, Resolve.
 */
export async function resolveReference(ctx: Ctx, repository: Repository): Promise<Descriptor> {
  const { spec } = repository;
  if (spec.tag === "" && spec.digest === "")
    throw new FaultError("invalidArgument", `reference ${quote(spec.text)}: object required`);
  if (spec.digest === "") {
    const hosts = repository.hostsFor("pull", "resolve");
    return await repository.anyOf(ctx, hosts, (host, isLast) =>
      askFor(ctx, repository, host, isLast, `manifests/${spec.tag}`),
    );
  }
  const digest = parseDigest(spec.digest);
  const hosts = repository.hostsFor("pull");
  try {
    return await repository.anyOf(ctx, hosts, (host, isLast) =>
      askFor(ctx, repository, host, isLast, `manifests/${digest}`, digest),
    );
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
    return await repository.anyOf(ctx, hosts, (host, isLast) =>
      askFor(ctx, repository, host, isLast, `blobs/${digest}`, digest),
    );
  }
}

async function askFor(
  ctx: Ctx,
  repository: Repository,
  host: RegistryHost,
  isLast: boolean,
  path: string,
  wanted?: Digest,
): Promise<Descriptor> {
  const request = {
    url: repository.url(host, path),
    headers: { accept: manifestAccept },
    scopes: [repository.scope("pull")],
    isLast,
    isChecked: wanted !== undefined,
  };
  await using head = await repository.send(ctx, host, { ...request, method: "HEAD" });
  if (head.status === 400 || head.status === 403) {
    // The answer to a HEAD has no words; those to a GET may say why.
    await using answer = await repository.send(ctx, host, { ...request, method: "GET" });
    await checkAnswer(repository, "HEAD", answer.status > 399 ? answer : head);
  } else await checkAnswer(repository, "HEAD", head);
  const stated = headerDigest(repository, host, head);
  if (wanted !== undefined && stated !== undefined && stated !== wanted && stated.startsWith("sha256:")) {
    throw mismatch(repository, host, wanted, stated);
  }
  const mediaType = mediaTypeOf(head);
  const digest = wanted ?? stated;
  const isManifest = path.startsWith("manifests/");
  if (digest !== undefined && head.bodyBytes !== undefined && !(isManifest && vagueTypes.has(mediaType))) {
    return accepted(repository, { mediaType, digest, sizeBytes: head.bodyBytes });
  }
  await using answer = await repository.send(ctx, host, { ...request, method: "GET" });
  await checkAnswer(repository, "GET", answer);
  return await fromBody(repository, host, answer, wanted);
}

/** Works out a descriptor from the manifest itself, where the head of the answer did not say enough. */
async function fromBody(
  repository: Repository,
  host: RegistryHost,
  answer: HttpAnswer,
  wanted?: Digest,
): Promise<Descriptor> {
  const { text } = repository.spec;
  if ((answer.bodyBytes ?? 0) > maxManifestBytes) throw tooLarge(text, answer.bodyBytes ?? 0);
  const bytes = await readLimited(answer, maxManifestBytes, text);
  const actual = digestOf(bytes);
  const stated = wanted ?? headerDigest(repository, host, answer);
  if (stated?.startsWith("sha256:") === true && stated !== actual) throw mismatch(repository, host, stated, actual);
  const header = mediaTypeOf(answer);
  const mediaType = vagueTypes.has(header) ? (typeIn(bytes) ?? header) : header;
  return accepted(repository, { mediaType, digest: stated ?? actual, sizeBytes: bytes.length });
}

function accepted({ spec }: Repository, descriptor: Descriptor): Descriptor {
  if (descriptor.sizeBytes > maxManifestBytes) throw tooLarge(spec.text, descriptor.sizeBytes);
  if (descriptor.mediaType === dockerSchema1Manifest) {
    throw new FaultError(
      "notImplemented",
      `${spec.text}: not implemented: media type ${quote(dockerSchema1Manifest)} is no longer supported since containerd v2.0, ` +
        `please rebuild the image as ${quote(dockerManifest)} or ${quote(ociManifest)}`,
    );
  }
  return descriptor;
}

async function checkAnswer(repository: Repository, method: string, answer: HttpAnswer): Promise<void> {
  if (answer.status < 300) return;
  if (answer.status === 404) throw fault("notFound", repository.spec.text);
  const error = await repository.refused({ method }, answer);
  if (answer.status !== 401 && answer.status !== 403) throw error;
  throw wrapFault("pull access denied, repository does not exist or may require authorization", error);
}

function headerDigest({ spec }: Repository, host: RegistryHost, answer: HttpAnswer): Digest | undefined {
  const text = answer.headers.get("docker-content-digest");
  if (text === null || text === "") return undefined;
  const problem = digestProblem(text);
  if (problem === undefined) return text as Digest;
  throw new FaultError(
    "dataLoss",
    `${spec.text}: registry host "${host.name}": ${quote(text.slice(0, 256))} in header not a valid digest: ${problem}`,
  );
}

function mediaTypeOf(answer: HttpAnswer): string {
  const type = (answer.headers.get("content-type") ?? "").split(";", 1)[0]?.trim() ?? "";
  // A registry that serves schema 1 says so. Source: containerd, getManifestMediaType.
  return type === "text/plain" || type === "application/vnd.docker.distribution.manifest.v1+json"
    ? dockerSchema1Manifest
    : type;
}

function typeIn(bytes: Uint8Array): string | undefined {
  try {
    const document = JSON.parse(new TextDecoder().decode(bytes)) as { [key: string]: unknown } | null;
    const stated = document?.["mediaType"];
    if (typeof stated === "string") return stated;
    if (document?.["schemaVersion"] === 1) return dockerSchema1Manifest;
    if (Array.isArray(document?.["manifests"])) return ociIndex;
    return Array.isArray(document?.["layers"]) ? ociManifest : undefined;
  } catch {
    // Not JSON, so no manifest of ours: the host's word stands.
    return undefined;
  }
}

function mismatch({ spec }: Repository, host: RegistryHost, wanted: string, found: string): FaultError {
  return fault(
    "dataLoss",
    `${spec.text}: registry host "${host.name}" answers with ${found} where ${wanted} is wanted`,
  );
}

function tooLarge(ref: string, bytes: number): FaultError {
  return fault(
    "notFound",
    `rejecting ${bytes} byte manifest for ${ref}, more than the ${maxManifestBytes} bytes that are taken`,
  );
}
