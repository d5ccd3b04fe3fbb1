import { fault, invalidArgument, isFault, quote } from "../../lib/faults.ts";
import type { Platform } from "../../lib/platforms.ts";
import type { Client } from "../client.ts";
import { checkDescriptor, checkDescriptors, type Descriptor, isIndex, parseObject } from "./documents.ts";
import { parseConfig, readBlob } from "./image-config.ts";

type Document = Readonly<Record<string, unknown>>;

/** One platform's image. */
export interface ManifestParts {
  readonly descriptor: Descriptor;
  readonly document: Document;
  readonly config: Descriptor;
  readonly layers: readonly Descriptor[];
}

/** A list of manifests, one a platform. */
export interface IndexParts {
  readonly descriptor: Descriptor;
  readonly document: Document;
  /** Those that were chosen and are there. */
  readonly children: readonly ImageTree[];
}

/** An image as its documents describe it. */
export type ImageTree =
  | { readonly kind: "index"; readonly index: IndexParts }
  | { readonly kind: "manifest"; readonly manifest: ManifestParts };

export interface TreeOptions {
  /** Which manifests of an index are wanted. */
  readonly wants: (platform: Platform) => boolean;
  /** An image for one platform, too, must be for a wanted one. */
  readonly strict?: boolean | undefined;
  /** Leave manifests out that are not there, rather than fail. */
  readonly skipMissing?: boolean | undefined;
}

const maxDepth = 4;

/**
 * Reads an image's documents, not its layers.
 * Errors: notFound (a document is not there, or nothing is wanted of it), invalidArgument (a document is malformed).
 */
export async function readImageTree(
  client: Client,
  target: Descriptor,
  options: TreeOptions,
  depth = 0,
): Promise<ImageTree> {
  if (depth > maxDepth) throw invalidArgument(`${target.digest}: indexes are nested too deep`);
  const document = parseObject(await readBlob(client, target), `blob ${target.digest}`);
  if (!isIndex(target.mediaType) && !Array.isArray(document["manifests"])) {
    const manifest = manifestParts(target, document);
    if (depth === 0 && options.strict === true) await checkPlatform(client, manifest, options);
    return { kind: "manifest", manifest };
  }
  const children: ImageTree[] = [];
  for (const child of checkDescriptors(document["manifests"], `index ${target.digest}: manifests`)) {
    if (!isWanted(child, options)) continue;
    const tree = await childTree(client, child, options, depth);
    if (tree !== undefined) children.push(tree);
  }
  if (children.length === 0) throw fault("notFound", `manifest of a wanted platform in index ${quote(target.digest)}`);
  return { kind: "index", index: { descriptor: target, document, children } };
}

async function checkPlatform(client: Client, { config }: ManifestParts, { wants }: TreeOptions): Promise<void> {
  const { os, architecture } = parseConfig(await readBlob(client, config), `config ${config.digest}`);
  if (os !== "" && !wants({ os, architecture }))
    throw fault("notFound", `a wanted platform: the image is for ${os}/${architecture}`);
}

function isWanted({ platform }: Descriptor, { wants }: TreeOptions): boolean {
  return platform === undefined || wants(platform);
}

async function childTree(
  client: Client,
  child: Descriptor,
  options: TreeOptions,
  depth: number,
): Promise<ImageTree | undefined> {
  try {
    return await readImageTree(client, child, options, depth + 1);
  } catch (error) {
    if (options.skipMissing === true && isFault(error, "notFound")) return undefined;
    throw error;
  }
}

function manifestParts(descriptor: Descriptor, document: Document): ManifestParts {
  const name = `manifest ${descriptor.digest}`;
  return {
    descriptor,
    document,
    config: checkDescriptor(document["config"], `${name}: config`),
    layers: checkDescriptors(document["layers"], `${name}: layers`),
  };
}

/** All manifests of an image, in order. */
export function manifestsOf(tree: ImageTree): ManifestParts[] {
  return tree.kind === "manifest" ? [tree.manifest] : tree.index.children.flatMap(manifestsOf);
}

/** Every blob of an image, each once: documents, configs and layers. */
export function blobsOf(tree: ImageTree): Descriptor[] {
  const found = new Map<string, Descriptor>();
  const add = (one: ImageTree): void => {
    if (one.kind === "index") {
      found.set(one.index.descriptor.digest, one.index.descriptor);
      for (const child of one.index.children) add(child);
      return;
    }
    const { descriptor, config, layers } = one.manifest;
    for (const blob of [descriptor, config, ...layers]) found.set(blob.digest, blob);
  };
  add(tree);
  return [...found.values()];
}
