import type { Client } from "../client/client.ts";
import { type CurrentStore, datedRecord, type HandbackRecord, leaseRecord } from "../core/takeover/index.ts";
import { Store } from "../gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { Status } from "../gen/containerd/v1/types/task_pb.ts";
import { connectGrpc } from "../wire/grpc/index.ts";

/** What a daemon has, record by record, over its API. */
export function currentStore(client: Client, open: (namespace: string) => Client): CurrentStore {
  const namespaces = client.namespaces.list({}).then((answer) => answer.namespaces);
  return {
    namespaces: () => namespaces,
    records: async (namespace) => {
      using own = open(namespace);
      const [images, containers, blobs, snapshots, leases, sandboxes] = await Promise.all([
        own.images.list({}),
        own.containers.list({}),
        readBlobs(own),
        readSnapshots(own),
        readLeases(own),
        readSandboxes(client.address, namespace),
      ]);
      return [
        ...images.images.map((image) => datedRecord("image", image.name, image)),
        ...containers.containers.map((container) => datedRecord("container", container.id, container)),
        ...blobs,
        ...snapshots,
        ...leases,
        ...sandboxes,
      ];
    },
    tasks: async (namespace) => {
      using own = open(namespace);
      const { tasks } = await own.tasks.list({});
      return tasks.filter(({ status }) => status !== Status.STOPPED).map(({ id, pid }) => ({ id, pid }));
    },
  };
}

async function readBlobs(client: Client): Promise<HandbackRecord[]> {
  const found: HandbackRecord[] = [];
  for await (const { info } of client.content.list({}))
    found.push(...info.map((one) => datedRecord("blob", one.digest, one)));
  return found;
}

async function readSnapshots(client: Client): Promise<HandbackRecord[]> {
  const found: HandbackRecord[] = [];
  for (const snapshotter of ["overlayfs", "native"]) {
    for await (const { info } of client.snapshots.list({ snapshotter }))
      found.push(...info.map((one) => datedRecord("snapshot", `${snapshotter}/${one.name}`, one)));
  }
  return found;
}

async function readLeases(client: Client): Promise<HandbackRecord[]> {
  const { leases } = await client.leases.list({});
  const held = leases.map(async ({ id, labels }) => {
    const { resources } = await client.leases.listResources({ id });
    return leaseRecord(id, labels, resources);
  });
  return await Promise.all(held);
}

async function readSandboxes(path: string, namespace: string): Promise<HandbackRecord[]> {
  await using connection = await connectGrpc({ path });
  const { list } = await connection.client(Store, { namespace }).list({});
  return list.map((sandbox) => datedRecord("sandbox", sandbox.sandboxId, sandbox));
}
