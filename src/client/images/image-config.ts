import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import type { Descriptor as WireDescriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import { fault, invalidArgument, quote } from "../../lib/faults.ts";
import type { HealthDocument } from "../../lib/health-labels.ts";
import type { Client } from "../client.ts";
import {
  checkDescriptor,
  checkDescriptors,
  type Descriptor,
  digestOf,
  isIndex,
  isObject,
  maxDocumentBytes,
  parseObject,
  textList,
  textMap,
  textOf,
} from "./documents.ts";

/** What an image says about the containers made from it. Source: OCI image-spec, config.md. */
export interface ImageConfig {
  readonly env: readonly string[];
  readonly entrypoint: readonly string[];
  readonly cmd: readonly string[];
  readonly cwd: string;
  readonly user: string;
  readonly stopSignal: string;
  /** How its health is checked, as docker writes it; undefined where nothing is said. */
  readonly healthCheck: HealthDocument | undefined;
  readonly labels: Readonly<Record<string, string>>;
  readonly diffIds: readonly string[];
  readonly os: string;
  readonly architecture: string;
  readonly created: string;
}

/** An image resolved for this machine. */
export interface ResolvedImage {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: Descriptor;
  readonly manifest: Descriptor;
  readonly layers: readonly Descriptor[];
  readonly configDescriptor: Descriptor;
  readonly config: ImageConfig;
}

/** The config of something that has none: a folder used as a root. */
export const emptyConfig: ImageConfig = {
  env: [],
  entrypoint: [],
  cmd: [],
  cwd: "",
  user: "",
  stopSignal: "",
  healthCheck: undefined,
  labels: {},
  diffIds: [],
  os: "linux",
  architecture: "",
  created: "",
};

/** This machine's architecture in OCI's words. */
export const hostArchitecture: string = process.arch === "x64" ? "amd64" : process.arch;

/**
 * Resolves an image to the manifest and config for this machine.
 * Errors: notFound (the image, a blob of it, or none for this machine), invalidArgument (a document is malformed).
 */
export async function resolveImage(client: Client, image: Image | NamedTarget): Promise<ResolvedImage> {
  if (image.target === undefined) throw invalidArgument(`image ${quote(image.name)} has no target`);
  const target = isWire(image.target) ? fromWire(image.target) : image.target;
  const found = await findManifest(client, target, image.name, 0);
  const configDescriptor = checkDescriptor(found.document["config"], `manifest ${found.descriptor.digest}: config`);
  const bytes = await readBlob(client, configDescriptor);
  return {
    name: image.name,
    labels: image.labels,
    target,
    manifest: found.descriptor,
    layers: checkDescriptors(found.document["layers"], `manifest ${found.descriptor.digest}: layers`),
    configDescriptor,
    config: parseConfig(bytes, `config ${configDescriptor.digest}`),
  };
}

/** An image that has no record yet. */
export interface NamedTarget {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly target: Descriptor;
}

function isWire(target: WireDescriptor | Descriptor): target is WireDescriptor {
  return typeof target.size === "bigint";
}

interface FoundManifest {
  readonly descriptor: Descriptor;
  readonly document: Readonly<Record<string, unknown>>;
}

async function findManifest(client: Client, at: Descriptor, name: string, depth: number): Promise<FoundManifest> {
  if (depth > 4) throw invalidArgument(`image ${quote(name)}: indexes are nested too deep`);
  const document = parseObject(await readBlob(client, at), `blob ${at.digest}`);
  if (!isIndex(at.mediaType) && !Array.isArray(document["manifests"])) return { descriptor: at, document };
  const choices = checkDescriptors(document["manifests"], `index ${at.digest}: manifests`).filter(fitsHost);
  for (const choice of choices) {
    try {
      return await findManifest(client, choice, name, depth + 1);
    } catch (error) {
      // A platform that was not imported is passed over as long as another fits.
      if (choice === choices.at(-1)) throw error;
    }
  }
  throw fault("notFound", `image ${quote(name)} for linux/${hostArchitecture}`);
}

function fitsHost({ platform }: Descriptor): boolean {
  if (platform === undefined || platform.os === "") return true;
  return platform.os === "linux" && platform.architecture === hostArchitecture;
}

/** Reads a config document; what is missing is empty. Errors: invalidArgument when it is malformed. */
export function parseConfig(bytes: Uint8Array, name: string): ImageConfig {
  const document = parseObject(bytes, name);
  const config = isObject(document["config"]) ? document["config"] : {};
  const rootfs = isObject(document["rootfs"]) ? document["rootfs"] : {};
  return {
    env: textList(config["Env"]),
    entrypoint: textList(config["Entrypoint"]),
    cmd: textList(config["Cmd"]),
    cwd: textOf(config["WorkingDir"]),
    user: textOf(config["User"]),
    stopSignal: textOf(config["StopSignal"]),
    healthCheck: isObject(config["Healthcheck"]) ? (config["Healthcheck"] as HealthDocument) : undefined,
    labels: textMap(config["Labels"]),
    diffIds: textList(rootfs["diff_ids"]),
    os: textOf(document["os"]),
    architecture: textOf(document["architecture"]),
    created: textOf(document["created"]),
  };
}

/** Reads a small blob whole. Errors: notFound, invalidArgument when it is larger than a document may be. */
export async function readBlob(client: Client, descriptor: Descriptor): Promise<Uint8Array> {
  if (descriptor.size > maxDocumentBytes) {
    throw invalidArgument(`blob ${descriptor.digest} of ${descriptor.size} bytes is too large for a document`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const { data } of client.content.read({ digest: descriptor.digest })) {
    length += data.length;
    if (length > maxDocumentBytes) throw invalidArgument(`blob ${descriptor.digest} is too large for a document`);
    chunks.push(data);
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks);
}

/** The name of the snapshot that holds all these layers. Source: OCI image-spec, config.md, layer ChainID. */
export function chainId(diffIds: readonly string[]): string {
  const [first = "", ...rest] = diffIds;
  return rest.reduce((chain, diffId) => digestOf(`${chain} ${diffId}`), first);
}

export function fromWire(wire: WireDescriptor): Descriptor {
  return { mediaType: wire.mediaType, digest: wire.digest, size: Number(wire.size), annotations: wire.annotations };
}

export function toWire(descriptor: Descriptor): {
  mediaType: string;
  digest: string;
  size: bigint;
  annotations: Record<string, string>;
} {
  const { mediaType, digest, size, annotations } = descriptor;
  return { mediaType, digest, size: BigInt(size), annotations: { ...annotations } };
}
