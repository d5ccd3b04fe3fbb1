import type { Any, Timestamp } from "@bufbuild/protobuf/wkt";
import type { Metric } from "../../gen/containerd/types/metrics_pb.ts";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import type { Platform } from "../../gen/containerd/types/platform_pb.ts";
import type { Sandbox } from "../../gen/containerd/types/sandbox_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";

/** The records of sandboxes, as the API's message; each call acts in the context's namespace. */
export interface SandboxStore {
  /** Errors: notFound. */
  get(ctx: Ctx, id: string): Sandbox;
  /** Errors: invalidArgument (a filter that doesn't parse). Shape: by id. */
  list(ctx: Ctx, filters: readonly string[]): readonly Sandbox[];
  /** Errors: invalidArgument (a malformed id), alreadyExists. Effects: durable; no event. */
  create(ctx: Ctx, sandbox: Sandbox): Promise<Sandbox>;
  /**
   * Shape: paths are `labels[.KEY]`, `extensions[.KEY]`, `spec`, `runtime`; none means all of them.
   * Errors: notFound, invalidArgument (another path; without a mask, another runtime). Effects: durable; no event.
   */
  update(ctx: Ctx, sandbox: Sandbox, paths: readonly string[]): Promise<Sandbox>;
  /** Errors: notFound. Effects: durable; what it ran is not touched. */
  delete(ctx: Ctx, id: string): Promise<void>;
}

/** What a sandbox is made with beyond its record. */
export interface SandboxCreation {
  readonly sandbox: Sandbox;
  readonly rootfs: readonly Mount[];
  /** For the shim alone: CRI passes a pod's configuration. */
  readonly options: Any | undefined;
  readonly netnsPath: string;
  readonly annotations: Readonly<Record<string, string>>;
}

/** Where a sandbox takes calls: `ttrpc+unix://PATH`, and the version of the shim's protocol. */
export interface SandboxEndpoint {
  readonly address: string;
  readonly version: number;
}

export interface SandboxInstance extends SandboxEndpoint {
  readonly pid: number;
  readonly createdAt: Timestamp;
  readonly labels: Readonly<Record<string, string>>;
  readonly spec: Any | undefined;
}

export interface SandboxExit {
  readonly exitStatus: number;
  readonly exitedAt: Timestamp;
}

export interface SandboxStatus extends SandboxEndpoint {
  readonly id: string;
  readonly pid: number;
  readonly state: string;
  readonly info: Readonly<Record<string, string>>;
  readonly createdAt: Timestamp;
  readonly exitedAt: Timestamp;
  readonly extra: Any | undefined;
}

/**
 * Runs sandboxes of one sort; a record names its controller as its sandboxer. Each call acts in the context's namespace.
 * Errors, all methods: notFound where nothing else is said; what the shim says; unavailable when it went away.
 * Source: containerd core/sandbox/controller.go.
 */
export interface SandboxController {
  /** Errors: alreadyExists. Effects: nothing is left when it fails. */
  create(ctx: Ctx, creation: SandboxCreation): Promise<void>;
  /** Effects: nothing is left of the sandbox when it fails. */
  start(ctx: Ctx, id: string): Promise<SandboxInstance>;
  platform(ctx: Ctx, id: string): Promise<Platform | undefined>;
  /** One that is not there is stopped. */
  stop(ctx: Ctx, id: string, timeoutSeconds: number): Promise<void>;
  /** Waits through deaths of the shim host. Ends early with the context's signal. */
  wait(ctx: Ctx, id: string): Promise<SandboxExit>;
  /** One that is not there has exited. */
  status(ctx: Ctx, id: string, verbose: boolean): Promise<SandboxStatus>;
  /** Takes down the sandbox with all that is in it. */
  shutdown(ctx: Ctx, id: string): Promise<void>;
  metrics(ctx: Ctx, id: string): Promise<Metric | undefined>;
  /** Tells a running sandbox that its record was changed. */
  update(ctx: Ctx, id: string, sandbox: Sandbox, paths: readonly string[]): Promise<void>;
}
