import type { Any } from "@bufbuild/protobuf/wkt";
import { Containers } from "../../src/gen/containerd/services/containers/v1/containers_pb.ts";
import { Leases } from "../../src/gen/containerd/services/leases/v1/leases_pb.ts";
import { Snapshots } from "../../src/gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import { Tasks } from "../../src/gen/containerd/services/tasks/v1/tasks_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection, ServiceClient } from "../../src/wire/service.ts";
import { busyboxImage } from "./busybox-image.ts";
import type { Daemon } from "./daemon.ts";

/** What a container's process reads and writes: paths of FIFOs, addresses, or nothing. */
export interface StdioPaths {
  readonly stdin?: string;
  readonly stdout?: string;
  readonly stderr?: string;
}

/** A daemon's API over one connection, as a Go client would use it: the same calls in the same order for every daemon. */
export interface ContainerApi extends AsyncDisposable {
  readonly containers: ServiceClient<typeof Containers>;
  readonly snapshots: ServiceClient<typeof Snapshots>;
  readonly tasks: ServiceClient<typeof Tasks>;
  readonly connection: ClientConnection;
  /** Snapshot and record. */
  create(id: string, args: readonly string[]): Promise<void>;
  /** Task, created and started; answers with its pid. */
  start(id: string, stdio?: StdioPaths): Promise<number>;
  /** Waits for the task's end and answers with its exit code. */
  wait(id: string): Promise<number>;
  /** Task (which must have ended), record and snapshot. Answers with the exit code that the deletion told. */
  remove(id: string): Promise<number>;
  /** Another process, not started yet. */
  addExec(id: string, execId: string, args: readonly string[]): Promise<void>;
  /** Another process, run to its end; answers with its exit code. */
  exec(id: string, execId: string, args: readonly string[]): Promise<number>;
  /** A new connection to the same daemon, after a restart. */
  reconnect(): Promise<ContainerApi>;
}

interface ContainerTemplate {
  readonly spec: Record<string, unknown> & { process: Record<string, unknown>; linux: Record<string, unknown> };
  readonly specUrl: string;
  readonly runtime: string;
  readonly options: Any | undefined;
  readonly parent: string;
}

const snapshotter = "overlayfs";
const encoder = new TextEncoder();

/** Connects to a daemon that holds the busybox image. What ctr makes of that image is the model of every container. */
export async function connectApi(daemon: Daemon, connect: Connect = connectOnce): Promise<ContainerApi> {
  return openApi(daemon, await readTemplate(daemon), connect);
}

/** How a connection to a daemon is made. */
export type Connect = (daemon: Daemon) => Promise<ClientConnection>;

const connectOnce: Connect = (daemon) => connectGrpc({ path: daemon.address });

async function openApi(daemon: Daemon, template: ContainerTemplate, connect: Connect): Promise<ContainerApi> {
  const connection = await connect(daemon);
  const defaults = { namespace: daemon.namespace };
  const containers = connection.client(Containers, defaults);
  const snapshots = connection.client(Snapshots, defaults);
  const tasks = connection.client(Tasks, defaults);
  const leases = connection.client(Leases, defaults);
  const specOf = (id: string, args: readonly string[]): Uint8Array => {
    const { process, linux } = template.spec;
    const cgroupsPath = `/${daemon.namespace}/${id}`;
    const spec = { ...template.spec, process: { ...process, args }, linux: { ...linux, cgroupsPath } };
    return encoder.encode(JSON.stringify(spec));
  };
  const addExec = async (id: string, execId: string, args: readonly string[]): Promise<void> => {
    const value = encoder.encode(JSON.stringify({ ...template.spec.process, args }));
    const spec = { typeUrl: template.specUrl.replace(/Spec$/, "Process"), value };
    await tasks.exec({ containerId: id, execId, spec });
  };
  const wait = async (id: string): Promise<number> => (await tasks.wait({ containerId: id })).exitStatus;
  return {
    containers,
    snapshots,
    tasks,
    connection,
    create: async (id, args) => {
      // As Go's client does: without a lease the collector may take the snapshot before the record holds it.
      // Another each time: one that a dying daemon made and did not answer for lives on until it expires.
      const lease = `lease-${id}-${crypto.randomUUID().slice(0, 8)}`;
      await leases.create({ id: lease, labels: { "containerd.io/gc.expire": leaseEnd() } });
      await snapshots.prepare({ snapshotter, key: id, parent: template.parent }, { lease });
      const spec = { typeUrl: template.specUrl, value: specOf(id, args) };
      const runtime = {
        name: template.runtime,
        ...(template.options === undefined ? {} : { options: template.options }),
      };
      await containers.create(
        { container: { id, image: busyboxImage, runtime, snapshotter, snapshotKey: id, spec } },
        { lease },
      );
      await leases.delete({ id: lease });
    },
    start: async (id, stdio = {}) => {
      const { mounts } = await snapshots.mounts({ snapshotter, key: id });
      const options = template.options === undefined ? {} : { options: template.options };
      const { pid } = await tasks.create({ containerId: id, rootfs: mounts, ...stdio, ...options });
      await tasks.start({ containerId: id });
      return pid;
    },
    wait,
    remove: async (id) => {
      const { exitStatus } = await tasks.delete({ containerId: id });
      // Snapshot first, as Go's client does: once the record is gone, the collector may be quicker than this call.
      await snapshots.remove({ snapshotter, key: id });
      await containers.delete({ id });
      return exitStatus;
    },
    addExec,
    exec: async (id, execId, args) => {
      await addExec(id, execId, args);
      await tasks.start({ containerId: id, execId });
      const { exitStatus } = await tasks.wait({ containerId: id, execId });
      await tasks.deleteProcess({ containerId: id, execId });
      return exitStatus;
    },
    reconnect: () => openApi(daemon, template, connect),
    [Symbol.asyncDispose]: () => connection[Symbol.asyncDispose](),
  };
}

/** As `start` of the API, with a terminal. */
export async function startInTerminal(api: ContainerApi, id: string, paths: StdioPaths): Promise<void> {
  const { container } = await api.containers.get({ id });
  if (container?.spec === undefined) throw new Error("a container without a spec");
  const spec = JSON.parse(new TextDecoder().decode(container.spec.value));
  container.spec.value = new TextEncoder().encode(
    JSON.stringify({ ...spec, process: { ...spec.process, terminal: true } }),
  );
  await api.containers.update({ container, updateMask: { paths: ["spec"] } });
  const { mounts } = await api.snapshots.mounts({ snapshotter: container.snapshotter, key: container.snapshotKey });
  await api.tasks.create({ containerId: id, rootfs: mounts, terminal: true, ...paths });
  await api.tasks.start({ containerId: id });
}

const leaseEnd = (): string => new Date(Date.now() + 24 * 3_600_000).toISOString();

async function readTemplate(daemon: Daemon): Promise<ContainerTemplate> {
  await using connection = await connectGrpc({ path: daemon.address });
  const defaults = { namespace: daemon.namespace };
  const id = `template-${daemon.namespace}`;
  await daemon.ctrOk(["run", ...daemon.runtimeFlags, "--null-io", busyboxImage, id, "true"]);
  const { container } = await connection.client(Containers, defaults).get({ id });
  const { info } = await connection.client(Snapshots, defaults).stat({ snapshotter, key: id });
  await daemon.ctr(["tasks", "rm", id]);
  await daemon.ctrOk(["containers", "rm", id]);
  if (container?.spec === undefined || info === undefined) throw new Error("ctr made no container to copy");
  return {
    spec: JSON.parse(new TextDecoder().decode(container.spec.value)),
    specUrl: container.spec.typeUrl,
    runtime: container.runtime?.name ?? "",
    options: container.runtime?.options,
    parent: info.parent,
  };
}
