import { fault } from "../../lib/faults.ts";
import type { Platform } from "../../lib/platforms.ts";
import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";
import { writeDocument } from "./blob-writer.ts";
import { type Descriptor, isObject } from "./documents.ts";
import { toWire } from "./image-config.ts";
import { type IndexParts, manifestsOf, readImageTree, type TreeOptions } from "./image-tree.ts";
import { withLease } from "./lease.ts";

/** Which parts of an image are meant: all of them, those for some platforms, or what there is of it here. */
export type Parts = "all" | "here" | ((platform: Platform) => boolean);

/** Parts of an image, under a name of their own for a while. */
export interface NamedParts {
  readonly name: string;
  readonly digest: string;
  /** Whether it is less than the image. */
  readonly reduced: boolean;
}

const oneDayMs = 86_400_000;

/**
 * Runs an action with a name for parts of an image: the image's own where that is all of it; else one that lasts as long as the
 * action, for a list of the manifests that are meant, or for the manifest where there is one.
 * Shape: manifests keep their bytes and digests. Errors: notFound (a manifest that is meant is not here), what the action throws.
 * Effects: a process that dies in it leaves a name that expires by itself.
 */
export async function withNamedParts<T>(
  client: Client,
  image: { readonly name: string; readonly target: Descriptor },
  parts: Parts,
  action: (named: NamedParts) => Promise<T>,
): Promise<T> {
  const { name, target } = image;
  const tree = await readImageTree(client, target, treeOptions(parts));
  if (tree.kind === "manifest" || isWhole(tree.index)) {
    return await action({ name, digest: target.digest, reduced: false });
  }
  return await withLease(client, async (lease) => {
    const chosen = manifestsOf(tree).map(({ descriptor }) => descriptor);
    const [only = target] = chosen;
    const made = chosen.length === 1 ? only : await writeIndex(client, tree.index, chosen, lease);
    const temporary = `${name.replace(/@.*$/, "")}-parts-${randomHex(16)}`;
    await nameFor(client, temporary, made, lease);
    try {
      return await action({ name: temporary, digest: made.digest, reduced: true });
    } finally {
      await client.images.delete({ name: temporary }).catch(() => {
        // It expires by itself.
      });
    }
  });
}

function treeOptions(parts: Parts): TreeOptions {
  if (typeof parts === "function") return { wants: parts, strict: true };
  return { wants: () => true, skipMissing: parts === "here" };
}

/** Whether all that an index names was chosen, and is here. */
function isWhole({ document, children }: IndexParts): boolean {
  const named = document["manifests"];
  if (!Array.isArray(named) || named.length !== children.length) return false;
  return children.every((child) => child.kind === "manifest" || isWhole(child.index));
}

/** The index again, with those manifests that were chosen alone. */
async function writeIndex(
  client: Client,
  { descriptor, document }: IndexParts,
  chosen: readonly Descriptor[],
  lease: string,
): Promise<Descriptor> {
  const wanted = new Set(chosen.map(({ digest }) => digest));
  const entries = document["manifests"];
  if (!Array.isArray(entries)) throw fault("invalidArgument", `index ${descriptor.digest} has no manifests`);
  // What stands in an index inside of this one is brought up into it.
  const own = entries.filter((entry) => isObject(entry) && wanted.has(String(entry["digest"])));
  const known = new Set(own.map((entry) => String(entry["digest"])));
  const inner = chosen.filter(({ digest }) => !known.has(digest)).map(plainEntry);
  const bytes = Buffer.from(JSON.stringify({ ...document, manifests: [...own, ...inner] }));
  const { digest, sizeBytes } = await writeDocument(client, bytes, { lease });
  return { ...descriptor, digest, size: sizeBytes };
}

function plainEntry({ mediaType, digest, size, platform, annotations }: Descriptor): object {
  const more = Object.keys(annotations).length === 0 ? {} : { annotations };
  return { mediaType, digest, size, ...(platform === undefined ? {} : { platform }), ...more };
}

async function nameFor(client: Client, name: string, target: Descriptor, lease: string): Promise<void> {
  const labels = { "containerd.io/gc.expire": new Date(Date.now() + oneDayMs).toISOString() };
  await client.images.create({ image: { name, target: toWire(target), labels } }, { lease });
}
