import type { Info, Status } from "../../gen/containerd/services/content/v1/content_pb.ts";
import { fault, invalidArgument, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";

/** Every blob of the namespace. Shape: with filters, those that match one of them. */
export async function listBlobs(client: Client, filters: readonly string[] = []): Promise<Info[]> {
  const found: Info[] = [];
  for await (const { info } of client.content.list({ filters: [...filters] })) found.push(...info);
  return found;
}

/** Writes that have not ended. */
export async function listIngests(client: Client): Promise<Status[]> {
  return (await client.content.listStatuses({})).statuses;
}

/**
 * Finds a blob by its digest, or by the beginning of one, with or without `sha256:`.
 * Errors: notFound; invalidArgument when the beginning fits several.
 */
export async function findBlob(client: Client, given: string): Promise<Info> {
  if (/^[a-z0-9]+:[0-9a-f]{64,}$/.test(given)) {
    const { info } = await client.content.info({ digest: given });
    if (info !== undefined) return info;
  }
  const found = await blobsThatBegin(client, given);
  const [only] = found;
  if (only === undefined) throw fault("notFound", `content ${quote(given)}`);
  if (found.length > 1) {
    throw invalidArgument(`${quote(given)} is the beginning of ${found.length} digests; give more of it`);
  }
  return only;
}

async function blobsThatBegin(client: Client, given: string): Promise<Info[]> {
  if (!/^(?:[a-z0-9]+:)?[0-9a-f]{2,}$/.test(given)) return [];
  const pattern = given.includes(":") ? `^${given}` : `^[a-z0-9]+:${given}`;
  return await listBlobs(client, [`digest~=${JSON.stringify(pattern)}`]);
}

/** Sets labels; an empty value takes a label away. */
export async function labelBlob(
  client: Client,
  digest: string,
  labels: Readonly<Record<string, string>>,
): Promise<Info> {
  const paths = Object.keys(labels).map((label) => `labels.${label}`);
  const { info } = await client.content.update({ info: { digest, labels: { ...labels } }, updateMask: { paths } });
  if (info === undefined) throw fault("notFound", `content ${quote(digest)}`);
  return info;
}

/** A blob's bytes. Errors: notFound, from the first piece. */
export async function* blobBytes(client: Client, digest: string): AsyncGenerator<Uint8Array> {
  for await (const { data } of client.content.read({ digest })) yield data;
}
