import { invalidArgument, isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { checkDescriptor, checkDescriptors, type Descriptor, isIndex, parseObject } from "./documents.ts";
import { readBlob } from "./image-config.ts";

/**
 * Labels an image's documents with what they refer to, so that garbage collection keeps it.
 * Errors: notFound (the target itself), invalidArgument (a document is malformed, or a part of a manifest is missing).
 * Effects: children that are not in the store (other platforms) are left out.
 * Source: containerd core/images/handlers.go, SetChildrenMappedLabels.
 */
export async function labelChildren(client: Client, target: Descriptor, lease: string, depth = 0): Promise<void> {
  if (depth > 4) return;
  const bytes = await readBlob(client, target);
  if (bytes.length !== target.size)
    throw invalidArgument(`blob ${target.digest} has ${bytes.length} bytes, not ${target.size} as is said of it`);
  const document = parseObject(bytes, `blob ${target.digest}`);
  const labels: Record<string, string> = {};
  if (isIndex(target.mediaType) || Array.isArray(document["manifests"])) {
    const children = checkDescriptors(document["manifests"], `index ${target.digest}: manifests`);
    for (const [i, child] of children.entries()) {
      labels[`containerd.io/gc.ref.content.m.${i}`] = child.digest;
      await labelPresent(client, child, lease, depth);
    }
  } else {
    const config = checkDescriptor(document["config"], `manifest ${target.digest}: config`);
    labels["containerd.io/gc.ref.content.config"] = config.digest;
    const layers = checkDescriptors(document["layers"], `manifest ${target.digest}: layers`);
    for (const [i, layer] of layers.entries()) labels[`containerd.io/gc.ref.content.l.${i}`] = layer.digest;
    await Promise.all([config, ...layers].map((part) => mustBeThere(client, part, target)));
  }
  const paths = Object.keys(labels).map((label) => `labels.${label}`);
  await client.content.update({ info: { digest: target.digest, labels }, updateMask: { paths } }, { lease });
}

async function mustBeThere(client: Client, { digest }: Descriptor, manifest: Descriptor): Promise<void> {
  try {
    await client.content.info({ digest });
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
    throw invalidArgument(`blob ${digest}, which manifest ${manifest.digest} names, is missing`, { cause: error });
  }
}

async function labelPresent(client: Client, child: Descriptor, lease: string, depth: number): Promise<void> {
  try {
    await labelChildren(client, child, lease, depth + 1);
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}
