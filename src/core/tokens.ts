import { type Kind, kind, type PluginPlatform, type Token, token } from "../plugin/index.ts";
import type { ServiceDefinition } from "../wire/service.ts";
import type { ContainerStore } from "./containers/index.ts";
import type { ContentStore } from "./content/index.ts";
import type { Differ } from "./diff/index.ts";
import type { EventHistory, Exchange } from "./events/index.ts";
import type { GarbageCollector } from "./gc/index.ts";
import type { ImageStore } from "./images/index.ts";
import type { Introspection } from "./introspection/index.ts";
import type { LeaseManager } from "./leases/index.ts";
import type { Metadata } from "./metadata/index.ts";
import type { MountManager } from "./mounts/index.ts";
import type { NamespaceStore } from "./namespaces/index.ts";
import type { OptFolder } from "./opt/index.ts";
import type { SandboxController, SandboxStore } from "./sandbox/index.ts";
import type { Snapshotter, Snapshotters } from "./snapshots/index.ts";
import type { StreamManager } from "./streaming/index.ts";
import type { TaskManager } from "./tasks/index.ts";
import type { Transferrer } from "./transfer/index.ts";
import type { ImageVerifier } from "./verifiers/index.ts";
import type { Warnings } from "./warnings/index.ts";

/** What a plugin of a served API gives: the services that stand on the daemon's sockets. */
export interface ServedApi {
  readonly grpc: readonly ServiceDefinition[];
  /** Those that shims call, over ttrpc. */
  readonly ttrpc?: readonly ServiceDefinition[];
}

// The kinds, by containerd's names. Source: containerd plugins/types.go.
export const EVENT: Kind<Exchange> = kind("io.containerd.event.v1");
export const METADATA: Kind<Metadata> = kind("io.containerd.metadata.v1");
export const CONTENT: Kind<ContentStore> = kind("io.containerd.content.v1");
export const SNAPSHOT: Kind<Snapshotter> = kind("io.containerd.snapshotter.v1");
export const DIFFER: Kind<Differ> = kind("io.containerd.differ.v1");
export const GC: Kind<GarbageCollector> = kind("io.containerd.gc.v1");
export const LEASE: Kind<LeaseManager> = kind("io.containerd.lease.v1");
export const STREAMING: Kind<StreamManager> = kind("io.containerd.streaming.v1");
export const TRANSFER: Kind<Transferrer> = kind("io.containerd.transfer.v1");
export const IMAGE_VERIFIER: Kind<ImageVerifier> = kind("io.containerd.image-verifier.v1");
export const MOUNT_MANAGER: Kind<MountManager> = kind("io.containerd.mount-manager.v1");
export const MOUNT_HANDLER: Kind<{ readonly type: string }> = kind("io.containerd.mount-handler.v1");
export const SANDBOX_STORE: Kind<SandboxStore> = kind("io.containerd.sandbox.store.v1");
export const SANDBOX_CONTROLLER: Kind<SandboxController> = kind("io.containerd.sandbox.controller.v1");
/** CRI's own, with a pause container. */
export const POD_SANDBOX_CONTROLLER: Kind<SandboxController> = kind("io.containerd.podsandbox.controller.v1");
export const WARNING: Kind<Warnings> = kind("io.containerd.warning.v1");
export const SERVICE: Kind<unknown> = kind("io.containerd.service.v1");
/** What the daemon keeps for itself. */
export const INTERNAL: Kind<unknown> = kind("io.containerd.internal.v1");
export const RUNTIME: Kind<unknown> = kind("io.containerd.runtime.v2");
export const GRPC: Kind<ServedApi> = kind("io.containerd.grpc.v1");
/** Services that containerd has not. */
export const LIGHTER_GRPC: Kind<ServedApi> = kind("io.lighter.grpc.v1");
/** What the daemon keeps of its events; undefined where it shall not. */
export const LIGHTER_EVENTS: Kind<EventHistory | undefined> = kind("io.lighter.event.v1");

// What one room needs of another.
export const warningsToken: Token<Warnings> = token(WARNING, "deprecations");
export const optToken: Token<OptFolder> = token(INTERNAL, "opt");
export const exchangeToken: Token<Exchange> = token(EVENT, "exchange");
export const eventHistoryToken: Token<EventHistory | undefined> = token(LIGHTER_EVENTS, "history");
export const metadataToken: Token<Metadata> = token(METADATA, "bolt");
export const gcToken: Token<GarbageCollector> = token(GC, "scheduler");
export const leasesToken: Token<LeaseManager> = token(LEASE, "manager");
export const mountManagerToken: Token<MountManager> = token(MOUNT_MANAGER, "bolt");
export const namespacesToken: Token<NamespaceStore> = token(SERVICE, "namespaces-service");
export const containersToken: Token<ContainerStore> = token(SERVICE, "containers-service");
/** Every part that keeps or reads content goes through this one. */
export const contentToken: Token<ContentStore> = token(SERVICE, "content-service");
export const snapshottersToken: Token<Snapshotters> = token(SERVICE, "snapshots-service");
export const streamsToken: Token<StreamManager> = token(STREAMING, "manager");
export const transferToken: Token<Transferrer> = token(TRANSFER, "local");
export const sandboxStoreToken: Token<SandboxStore> = token(SANDBOX_STORE, "local");
export const tasksToken: Token<TaskManager> = token(RUNTIME, "task");
export const differToken: Token<Differ> = token(SERVICE, "diff-service");
export const imagesToken: Token<ImageStore> = token(SERVICE, "images-service");
export const introspectionToken: Token<Introspection> = token(SERVICE, "introspection-service");

/** The platform that this machine runs, in OCI's words. */
export const hostPlatform: PluginPlatform = {
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : process.arch,
  variant: process.arch === "arm64" ? "v8" : "",
};
