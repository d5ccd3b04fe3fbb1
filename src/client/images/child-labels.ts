import { isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { checkDescriptor, checkDescriptors, type Descriptor, isIndex, parseObject } from "./documents.ts";
import { readBlob } from "./image-config.ts";

/**
 * Labels an image's documents with what they refer to, so that garbage collection keeps it.
 * Effects: children that are not in the store (other platforms) are left out.
 * Source: containerd core/images/handlers.go, SetChildrenMappedLabels.
 */
export async function labelChildren(client: Client, target: Descriptor, lease: string, depth = 0): Promise<void> {
  if (depth > 4) return;
  const document = parseObject(await readBlob(client, target), `blob ${target.digest}`);
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
  }
  const paths = Object.keys(labels).map((label) => `labels.${label}`);
  await client.content.update({ info: { digest: target.digest, labels }, updateMask: { paths } }, { lease });
}

async function labelPresent(client: Client, child: Descriptor, lease: string, depth: number): Promise<void> {
  try {
    await labelChildren(client, child, lease, depth + 1);
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}
