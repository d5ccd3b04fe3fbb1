import type { Image } from "../../gen/containerd/services/images/v1/images_pb.ts";
import { fault, isFault, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";

/**
 * The names under which a short one may be known, the likeliest first.
 * Shape: `busybox` is `busybox`, `busybox:latest`, `docker.io/library/busybox:latest`, as docker reads it.
 */
export function nameCandidates(given: string): string[] {
  const tagged = hasTag(given) ? given : `${given}:latest`;
  const [head = ""] = tagged.split("/", 1);
  const hasHost = tagged.includes("/") && (head.includes(".") || head.includes(":") || head === "localhost");
  const full = hasHost ? tagged : `docker.io/${tagged.includes("/") ? tagged : `library/${tagged}`}`;
  return [...new Set([given, tagged, full])];
}

function hasTag(name: string): boolean {
  return name.includes("@") || name.slice(name.lastIndexOf("/") + 1).includes(":");
}

/** Finds an image by its name or a shorter form of it. Errors: notFound. */
export async function findImage(client: Client, given: string): Promise<Image> {
  const names = nameCandidates(given);
  const filters = names.map((name) => `name==${JSON.stringify(name)}`);
  // Both are asked at once, as a short name mostly needs the second.
  const listed = listImages(client, names, filters);
  listed.catch(() => {});
  const exact = await getImage(client, given);
  if (exact !== undefined) return exact;
  const others = await listed;
  const found = names.map((name) => others.find((image) => image.name === name)).find(Boolean);
  if (found === undefined) throw fault("notFound", `image ${quote(given)}`);
  return found;
}

async function getImage(client: Client, name: string): Promise<Image | undefined> {
  try {
    return (await client.images.get({ name })).image;
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

async function listImages(client: Client, names: readonly string[], filters: readonly string[]): Promise<Image[]> {
  if (names.length < 2) return [];
  return (await client.images.list({ filters: [...filters] })).images;
}
