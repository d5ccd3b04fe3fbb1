import type { Ctx } from "../../../lib/ctx.ts";
import type { Descriptor } from "../../../lib/descriptor.ts";
import { FaultError, fault, isFault, messageOf, quote } from "../../../lib/faults.ts";
import { isIndexType, isManifestType, isNonDistributable } from "../../../lib/media-types.ts";
import type { HttpAnswer } from "../http/http-client.ts";
import type { RegistryHost } from "../registry/registry-host.ts";
import type { Repository } from "../registry/repository.ts";

/** Which part of a blob is wanted: [from, to). */
export interface BlobPart {
  readonly from: number;
  readonly to: number;
}

/** A part of a blob as one host sends it; who takes it disposes it. */
export interface OpenPart extends AsyncDisposable {
  readonly host: RegistryHost;
  /** The bytes from `from` on, and perhaps more than was wanted. */
  bytes(): AsyncIterable<Uint8Array>;
  /** Whether the host sent all from the beginning, though a part was asked for. */
  readonly ignoredRange: boolean;
}

export interface OpenOptions {
  /** Hosts that are not asked again, unless there is no other. */
  readonly avoid?: ReadonlySet<RegistryHost> | undefined;
}

/**
 * Asks for a part of a blob or manifest, one host after the other.
 * Errors: notFound, unauthenticated, TransportError, dataLoss (not the blob that was asked for).
 * Source: containerd core/remotes/docker/fetcher.go, Fetch and open.
 */
export async function openPart(
  ctx: Ctx,
  repository: Repository,
  descriptor: Descriptor,
  part: BlobPart,
  options: OpenOptions = {},
): Promise<OpenPart> {
  const pulling = repository.hostsFor("pull");
  const others = pulling.filter((host) => options.avoid?.has(host) !== true);
  const hosts = others.length > 0 ? others : pulling.slice(-1);
  const ask = (path: string): Promise<OpenPart> =>
    repository.anyOf(ctx, hosts, (host, isLast) =>
      openAt(ctx, repository, host, isLast, descriptor, part, repository.url(host, path)),
    );
  const isManifest = isManifestType(descriptor.mediaType) || isIndexType(descriptor.mediaType);
  const tries = [() => ask(`${isManifest ? "manifests" : "blobs"}/${descriptor.digest}`)];
  // What an index points to may be a manifest of a type that we do not know.
  if (!isManifest) tries.push(() => ask(`manifests/${descriptor.digest}`));
  const elsewhere = (descriptor.urls ?? []).map((url) => () => openUrl(ctx, repository, hosts, descriptor, part, url));
  if (isNonDistributable(descriptor.mediaType)) tries.unshift(...elsewhere);
  else tries.push(...elsewhere);
  return await firstFound(tries, repository, descriptor);
}

async function firstFound(
  tries: readonly (() => Promise<OpenPart>)[],
  { spec }: Repository,
  { digest, mediaType }: Descriptor,
): Promise<OpenPart> {
  for (const attempt of tries) {
    try {
      return await attempt();
    } catch (error) {
      if (!isFault(error, "notFound")) throw error;
    }
  }
  throw fault("notFound", `${spec.text}: could not fetch content descriptor ${digest} (${mediaType}) from remote`);
}

/** Fetches from an address that the descriptor itself names: a foreign layer. Nobody's credentials go there. */
function openUrl(
  ctx: Ctx,
  repository: Repository,
  hosts: readonly RegistryHost[],
  descriptor: Descriptor,
  part: BlobPart,
  text: string,
): Promise<OpenPart> {
  const url = URL.parse(text);
  const host = hosts.at(-1);
  if (host === undefined || url === null || (url.protocol !== "http:" && url.protocol !== "https:")) {
    throw fault("notFound", `${repository.spec.text}: address ${quote(text.slice(0, 256))} of ${descriptor.digest}`);
  }
  return openAt(ctx, repository, host, true, descriptor, part, url);
}

async function openAt(
  ctx: Ctx,
  repository: Repository,
  host: RegistryHost,
  isLast: boolean,
  descriptor: Descriptor,
  part: BlobPart,
  url: URL,
): Promise<OpenPart> {
  const { from, to } = part;
  const whole = from === 0 && to === descriptor.sizeBytes;
  const answer = await repository.send(ctx, host, {
    method: "GET",
    url,
    headers: {
      accept: descriptor.mediaType === "" ? "*/*" : `${descriptor.mediaType}, */*`,
      ...(whole ? {} : { range: `bytes=${from}-${to === descriptor.sizeBytes ? "" : to - 1}` }),
    },
    scopes: [repository.scope("pull")],
    isLast,
    isChecked: true,
  });
  try {
    if (answer.status > 299) {
      if (answer.status === 404) throw fault("notFound", `${repository.spec.text}: content at ${url.href}`);
      throw await repository.refused({ method: "GET" }, answer);
    }
    const place = `${repository.spec.text}: registry host "${answer.url.host}"`;
    const ignoredRange = checkExtent(answer, descriptor, part, place);
    return {
      host,
      ignoredRange,
      bytes: () => skipping(decoded(answer, place), ignoredRange ? from : 0),
      [Symbol.asyncDispose]: () => Promise.resolve(answer[Symbol.asyncDispose]()),
    };
  } catch (error) {
    await answer[Symbol.asyncDispose]();
    throw error;
  }
}

/** Checks that an answer is about the part that was asked for; true when it is about all instead. */
function checkExtent(answer: HttpAnswer, descriptor: Descriptor, { from, to }: BlobPart, place: string): boolean {
  const range = answer.headers.get("content-range");
  if (answer.status === 206 || range !== null) {
    const match = /^bytes (\d+)-(\d+)\/(\d+|\*)$/.exec(range ?? "");
    const total = match?.[3] ?? "*";
    if (match === null || Number(match[1]) !== from || (total !== "*" && Number(total) !== descriptor.sizeBytes)) {
      const wanted = `bytes ${from}-${to - 1}/${descriptor.sizeBytes}`;
      throw fault(
        "dataLoss",
        `${place}: unhandled content range in response: ${range ?? "none"} where ${wanted} is wanted`,
      );
    }
    return false;
  }
  const { bodyBytes } = answer;
  if (bodyBytes !== undefined && bodyBytes !== descriptor.sizeBytes && encodings(answer).length === 0) {
    throw fault(
      "dataLoss",
      `${place} answers with ${bodyBytes} bytes for ${descriptor.digest}, which has ${descriptor.sizeBytes}`,
    );
  }
  return from > 0 || to < descriptor.sizeBytes;
}

function encodings(answer: HttpAnswer): string[] {
  const names = (answer.headers.get("content-encoding") ?? "").toLowerCase().split(/[\s,]+/);
  return names.filter((name) => name !== "" && name !== "identity");
}

/** Undoes what a host packs on the way, though it was asked not to. */
async function* decoded(answer: HttpAnswer, place: string): AsyncGenerator<Uint8Array> {
  const names = encodings(answer);
  if (names.length === 0) return yield* answer.body();
  if (answer.status === 206 || names.length > 1) {
    throw fault("dataLoss", `${place} answers with a part that is packed as ${quote(names.join(", ").slice(0, 64))}`);
  }
  // Loaded here: hosts seldom pack, and the runtime's streams are large.
  const [{ Readable }, zlib] = await Promise.all([import("node:stream"), import("node:zlib")]);
  const make = { gzip: zlib.createGunzip, deflate: zlib.createInflate, zstd: zlib.createZstdDecompress }[
    names[0] as string
  ];
  if (make === undefined)
    throw new FaultError("notImplemented", `${place}: unsupported Content-Encoding algorithm: ${names[0]}`);
  const source = Readable.from(answer.body());
  const plain = make();
  source.once("error", (error) => plain.destroy(error));
  try {
    for await (const bytes of source.pipe(plain) as AsyncIterable<Uint8Array>) yield bytes.slice();
  } catch (error) {
    if (error instanceof FaultError) throw error;
    throw new FaultError("dataLoss", `${place}: what it packed cannot be unpacked: ${messageOf(error)}`, {
      cause: error,
    });
  } finally {
    source.destroy();
    plain.destroy();
  }
}

async function* skipping(source: AsyncIterable<Uint8Array>, count: number): AsyncGenerator<Uint8Array> {
  let left = count;
  for await (const bytes of source) {
    if (left < bytes.length) yield left === 0 ? bytes : bytes.subarray(left);
    left = Math.max(0, left - bytes.length);
  }
}
