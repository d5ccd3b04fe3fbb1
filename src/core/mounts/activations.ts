import type { Ctx } from "../../lib/ctx.ts";
import type { Instant } from "../../lib/instant.ts";
import type { Collectable } from "../gc/index.ts";
import type { AllowedTypes } from "./mount-plan.ts";
import type { MountSpec } from "./mount-spec.ts";

/** A mount that the daemon made, outside of any container. */
export interface ActiveMount extends MountSpec {
  readonly mountPoint: string;
  readonly mountedAt: Instant;
}

/** Mounts under a name: those that were made, and those that are left to whoever wants to see the filesystem. */
export interface Activation {
  readonly name: string;
  readonly active: readonly ActiveMount[];
  readonly system: readonly MountSpec[];
  readonly labels: ReadonlyMap<string, string>;
}

export interface ActivationRequest {
  readonly name: string;
  readonly mounts: readonly MountSpec[];
  readonly labels: ReadonlyMap<string, string>;
  /** Makes all of the mounts; what is left is one that binds the last. */
  readonly temporary: boolean;
  /** What the caller makes itself; nothing when left out. */
  readonly allowed?: AllowedTypes | undefined;
}

/**
 * Makes the mounts that a container's runtime can't make: with filesystems, folders or names that have to be prepared, or of
 * types that have a handler here. Each call acts in the context's namespace.
 * Source: containerd core/mount/manager.go.
 */
export interface MountManager extends AsyncDisposable {
  /**
   * Errors: notImplemented (nothing of it is for the manager: the caller mounts), alreadyExists, invalidArgument, what the
   * kernel says. Effects: held by the context's lease, and by what its labels refer back to (`containerd.io/gc.bref.*`);
   * without either the next garbage collection takes it away. Nothing is left when it fails.
   */
  activate(ctx: Ctx, request: ActivationRequest): Promise<Activation>;
  /** Errors: notFound, unknown (a mount is busy: it goes with a later garbage collection). */
  deactivate(ctx: Ctx, name: string): Promise<void>;
  /** Errors: notFound. */
  info(ctx: Ctx, name: string): Promise<Activation>;
  /** Whether there is one by that name, be it half made. */
  has(ctx: Ctx, name: string): Promise<boolean>;
  /** Shape: by name. Filters have no effect, as in containerd. */
  list(ctx: Ctx, filters: readonly string[]): Promise<readonly Activation[]>;
  /** The activations, as garbage collection sees them. */
  readonly collectable: Collectable;
}
