import type { Containers } from "../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Content } from "../gen/containerd/services/content/v1/content_pb.ts";
import type { Diff } from "../gen/containerd/services/diff/v1/diff_pb.ts";
import type { Events } from "../gen/containerd/services/events/v1/events_pb.ts";
import type { Images } from "../gen/containerd/services/images/v1/images_pb.ts";
import type { Introspection } from "../gen/containerd/services/introspection/v1/introspection_pb.ts";
import type { Leases } from "../gen/containerd/services/leases/v1/leases_pb.ts";
import type { Namespaces } from "../gen/containerd/services/namespaces/v1/namespace_pb.ts";
import type { Snapshots } from "../gen/containerd/services/snapshots/v1/snapshots_pb.ts";
import type { Streaming } from "../gen/containerd/services/streaming/v1/streaming_pb.ts";
import type { Tasks } from "../gen/containerd/services/tasks/v1/tasks_pb.ts";
import type { Transfer } from "../gen/containerd/services/transfer/v1/transfer_pb.ts";
import type { Version } from "../gen/containerd/services/version/v1/version_pb.ts";
import type { Checkpoints } from "../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import type { Debug } from "../gen/lighter/debug/v1/debug_pb.ts";
import type { History } from "../gen/lighter/events/v1/history_pb.ts";
import type { ContainerHealth } from "../gen/lighter/health/v1/health_pb.ts";
import type { Layers } from "../gen/lighter/layers/v1/layers_pb.ts";
import type { Registries } from "../gen/lighter/registries/v1/registries_pb.ts";
import type { System } from "../gen/lighter/system/v1/system_pb.ts";
import { invalidArgument, quote } from "../lib/faults.ts";
import { checkIdentifier } from "../lib/identifiers.ts";
import type { CallOptions, ServiceClient } from "../wire/service.ts";
import { connectUnix } from "./transport/connection.ts";

/** Whose things, over which connection: what every function of this package takes first. */
export interface Client extends Disposable {
  readonly address: string;
  readonly namespace: string;
  readonly containers: ServiceClient<typeof Containers>;
  readonly content: ServiceClient<typeof Content>;
  readonly checkpoints: ServiceClient<typeof Checkpoints>;
  /** Only lighterd has it. */
  readonly debug: ServiceClient<typeof Debug>;
  readonly diff: ServiceClient<typeof Diff>;
  readonly events: ServiceClient<typeof Events>;
  /** Only lighterd has it. */
  readonly health: ServiceClient<typeof ContainerHealth>;
  /** Only lighterd has it. */
  readonly history: ServiceClient<typeof History>;
  readonly images: ServiceClient<typeof Images>;
  readonly introspection: ServiceClient<typeof Introspection>;
  /** Only lighterd has it. */
  readonly layers: ServiceClient<typeof Layers>;
  readonly leases: ServiceClient<typeof Leases>;
  readonly namespaces: ServiceClient<typeof Namespaces>;
  /** Only lighterd has it. */
  readonly registries: ServiceClient<typeof Registries>;
  readonly snapshots: ServiceClient<typeof Snapshots>;
  readonly streaming: ServiceClient<typeof Streaming>;
  /** Only lighterd has it. */
  readonly system: ServiceClient<typeof System>;
  readonly tasks: ServiceClient<typeof Tasks>;
  readonly transfer: ServiceClient<typeof Transfer>;
  readonly version: ServiceClient<typeof Version>;
}

export interface ClientOptions {
  /** A unix socket's path, or `unix://` before it. */
  readonly address: string;
  readonly namespace: string;
}

/**
 * A client of a daemon, containerd or lighter; over the public API only.
 * Errors: invalidArgument (the namespace, or an address that is no unix socket). A daemon that does not answer shows in
 * the first call.
 */
export function openClient(options: ClientOptions): Client {
  const address = socketPath(options.address);
  const namespace = checkIdentifier(options.namespace);
  const connection = connectUnix(address);
  const defaults: CallOptions = { namespace };
  // Each service's functions are made when they are first asked for: a short command uses two or three of them.
  return {
    address,
    namespace,
    get containers() {
      return connection.service<typeof Containers>("containerd.services.containers.v1.Containers", defaults);
    },
    get content() {
      return connection.service<typeof Content>("containerd.services.content.v1.Content", defaults);
    },
    get checkpoints() {
      return connection.service<typeof Checkpoints>("lighter.checkpoints.v1.Checkpoints", defaults);
    },
    get debug() {
      return connection.service<typeof Debug>("lighter.debug.v1.Debug", defaults);
    },
    get diff() {
      return connection.service<typeof Diff>("containerd.services.diff.v1.Diff", defaults);
    },
    get events() {
      return connection.service<typeof Events>("containerd.services.events.v1.Events", defaults);
    },
    get health() {
      return connection.service<typeof ContainerHealth>("lighter.health.v1.ContainerHealth", defaults);
    },
    get history() {
      return connection.service<typeof History>("lighter.events.v1.History", defaults);
    },
    get images() {
      return connection.service<typeof Images>("containerd.services.images.v1.Images", defaults);
    },
    get introspection() {
      return connection.service<typeof Introspection>("containerd.services.introspection.v1.Introspection", defaults);
    },
    get layers() {
      return connection.service<typeof Layers>("lighter.layers.v1.Layers", defaults);
    },
    get leases() {
      return connection.service<typeof Leases>("containerd.services.leases.v1.Leases", defaults);
    },
    get namespaces() {
      return connection.service<typeof Namespaces>("containerd.services.namespaces.v1.Namespaces", defaults);
    },
    get snapshots() {
      return connection.service<typeof Snapshots>("containerd.services.snapshots.v1.Snapshots", defaults);
    },
    get streaming() {
      return connection.service<typeof Streaming>("containerd.services.streaming.v1.Streaming", defaults);
    },
    get registries() {
      return connection.service<typeof Registries>("lighter.registries.v1.Registries", defaults);
    },
    get system() {
      return connection.service<typeof System>("lighter.system.v1.System", defaults);
    },
    get tasks() {
      return connection.service<typeof Tasks>("containerd.services.tasks.v1.Tasks", defaults);
    },
    get transfer() {
      return connection.service<typeof Transfer>("containerd.services.transfer.v1.Transfer", defaults);
    },
    get version() {
      return connection.service<typeof Version>("containerd.services.version.v1.Version", defaults);
    },
    [Symbol.dispose]: () => connection[Symbol.dispose](),
  };
}

function socketPath(address: string): string {
  const path = address.replace(/^unix:\/\//, "");
  if (!path.startsWith("/")) throw invalidArgument(`address ${quote(address)} is not a unix socket's absolute path`);
  return path;
}
