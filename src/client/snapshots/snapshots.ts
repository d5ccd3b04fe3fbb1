import type { Info } from "../../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { fault, invalidArgument, isFault, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { dateOf } from "../containers/tasks.ts";

export type SnapshotKind = "unknown" | "view" | "active" | "committed";

/** A snapshot of one snapshotter. */
export interface Snapshot {
  readonly snapshotter: string;
  /** A committed one's name, another's key. */
  readonly name: string;
  /** Empty for one that stands on nothing. */
  readonly parent: string;
  readonly kind: SnapshotKind;
  readonly createdAt: Date;
  readonly updatedAt: Date;
  readonly labels: Readonly<Record<string, string>>;
}

/** Source: containerd api/services/snapshots/v1/snapshots.proto, Kind. */
const kinds: readonly SnapshotKind[] = ["unknown", "view", "active", "committed"];

/** The snapshotters that the daemon has and that work. */
export async function snapshotterNames(client: Client): Promise<string[]> {
  const { plugins } = await client.introspection.plugins({ filters: ["type==io.containerd.snapshotter.v1"] });
  return plugins.filter(({ initErr }) => initErr === undefined).map(({ id }) => id);
}

/** All snapshots of a snapshotter. */
export async function listSnapshots(client: Client, snapshotter: string): Promise<Snapshot[]> {
  const found: Snapshot[] = [];
  for await (const { info } of client.snapshots.list({ snapshotter })) {
    found.push(...info.map((one) => snapshotOf(snapshotter, one)));
  }
  return found;
}

/**
 * Finds a snapshot by its key or name, or by the beginning of one that is a digest, with or without `sha256:`.
 * Errors: notFound; invalidArgument when the beginning fits several.
 */
export async function findSnapshot(client: Client, snapshotter: string, given: string): Promise<Snapshot> {
  const exact = await statSnapshot(client, snapshotter, given);
  if (exact !== undefined) return exact;
  const found = /^(?:sha256:)?[0-9a-f]{2,}$/.test(given)
    ? (await listSnapshots(client, snapshotter)).filter(({ name }) => begins(name, given))
    : [];
  const [only] = found;
  if (only === undefined) throw fault("notFound", `snapshot ${quote(given)} in snapshotter ${quote(snapshotter)}`);
  if (found.length > 1)
    throw invalidArgument(`${quote(given)} is the beginning of ${found.length} snapshots' names; give more of it`);
  return only;
}

function begins(name: string, given: string): boolean {
  return name.startsWith(given) || name.startsWith(`sha256:${given}`);
}

async function statSnapshot(client: Client, snapshotter: string, key: string): Promise<Snapshot | undefined> {
  try {
    const { info } = await client.snapshots.stat({ snapshotter, key });
    return info === undefined ? undefined : snapshotOf(snapshotter, info);
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

/** What a snapshot itself takes, without its parents; undefined for one that went away meanwhile. */
export async function snapshotUsage(
  client: Client,
  snapshotter: string,
  key: string,
): Promise<{ readonly sizeBytes: number; readonly inodes: number } | undefined> {
  try {
    const { size, inodes } = await client.snapshots.usage({ snapshotter, key });
    return { sizeBytes: Number(size), inodes: Number(inodes) };
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

function snapshotOf(snapshotter: string, info: Info): Snapshot {
  return {
    snapshotter,
    name: info.name,
    parent: info.parent,
    kind: kinds[info.kind] ?? "unknown",
    createdAt: dateOf(info.createdAt),
    updatedAt: dateOf(info.updatedAt),
    labels: info.labels,
  };
}
