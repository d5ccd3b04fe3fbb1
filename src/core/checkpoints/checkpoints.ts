import type { Checkpoint } from "../../gen/lighter/checkpoints/v1/checkpoints_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";

/**
 * Checkpoints of containers by name; each call acts in the context's namespace. A checkpoint outlives its task, and goes
 * with its container: one of an earlier container of the same id is not seen.
 */
export interface NamedCheckpoints extends AsyncDisposable {
  /**
   * Checkpoints a container's task and keeps it as content under a name. Read of `wanted`: container, name, flags.
   * Errors: notFound (container, task), alreadyExists (the name), invalidArgument (the name), what CRIU said.
   * Effects: durable, also when the daemon dies in it, for a container that is stopped for it; the content is kept from garbage collection by its label until the checkpoint is deleted.
   */
  create(ctx: Ctx, wanted: Checkpoint): Promise<Checkpoint>;
  /** Errors: notFound. */
  get(ctx: Ctx, containerId: string, name: string): Checkpoint;
  /** Those of a container, or of all when the id is empty; the oldest first. Errors: notFound (the container). */
  list(ctx: Ctx, containerId: string): readonly Checkpoint[];
  /** Errors: notFound. Effects: durable; the images leave the content store, what others refer to too stays. */
  delete(ctx: Ctx, containerId: string, name: string): Promise<void>;
}
