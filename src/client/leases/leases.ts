import type { Resource } from "../../gen/containerd/services/leases/v1/leases_pb.ts";
import { fault, invalidArgument, isFault, quote } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { dateOf } from "../containers/tasks.ts";
import type { NodeKind } from "../system/store-graph.ts";

export interface LeaseResource {
  readonly kind: NodeKind;
  /** A digest, a ref, a name, or `<snapshotter>/<key>`. */
  readonly key: string;
}

/** A lease with what was added to it. */
export interface HeldLease {
  readonly id: string;
  readonly createdAt: Date;
  readonly labels: Readonly<Record<string, string>>;
  readonly resources: readonly LeaseResource[];
}

/** All leases of the namespace with what they hold. One that goes away meanwhile is left out. */
export async function listHeldLeases(client: Client): Promise<HeldLease[]> {
  const { leases } = await client.leases.list({});
  const held = await Promise.all(
    leases.map(async ({ id, createdAt, labels }) => {
      const resources = await resourcesOf(client, id);
      return resources === undefined ? [] : [{ id, createdAt: dateOf(createdAt), labels, resources }];
    }),
  );
  return held.flat();
}

async function resourcesOf(client: Client, id: string): Promise<LeaseResource[] | undefined> {
  try {
    return (await client.leases.listResources({ id })).resources.flatMap(fromWire);
  } catch (error) {
    if (isFault(error, "notFound")) return undefined;
    throw error;
  }
}

/** What a lease holds. Errors: notFound. */
export async function leaseResources(client: Client, id: string): Promise<LeaseResource[]> {
  const found = await resourcesOf(client, id);
  if (found === undefined) throw fault("notFound", `lease ${quote(id)}`);
  return found;
}

/** Source: containerd core/metadata/leases.go, parseLeaseResource. */
function fromWire({ id, type }: Resource): LeaseResource[] {
  if (type.startsWith("snapshots/")) return [{ kind: "snapshot", key: `${type.slice("snapshots/".length)}/${id}` }];
  const kind = ({ content: "content", ingests: "ingest", images: "image" } as const)[type];
  return kind === undefined ? [] : [{ kind, key: id }];
}

/** The resource as the API names it. Errors: invalidArgument. */
export function wireResource({ kind, key }: LeaseResource): { id: string; type: string } {
  if (kind === "content") return { id: key, type: "content" };
  if (kind === "ingest") return { id: key, type: "ingests" };
  if (kind === "image") return { id: key, type: "images" };
  const slash = key.indexOf("/");
  if (kind === "snapshot" && slash > 0) return { id: key.slice(slash + 1), type: `snapshots/${key.slice(0, slash)}` };
  throw invalidArgument(`a lease cannot hold ${kind} ${quote(key)}`);
}
