import { create } from "@bufbuild/protobuf";
import { RuntimeInfoSchema, RuntimeRequestSchema } from "../../gen/containerd/types/introspection_pb.ts";
import { type Mount, MountSchema } from "../../gen/containerd/types/mount_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { logFor } from "../../lib/trace.ts";
import { anyOf, anyTo } from "../../wire/any.ts";
import { type AllowedTypes, decodeMounts, encodeMounts, type MountManager, needsManager } from "../mounts/index.ts";
import type { RuntimeInfoSource } from "./runtime-info.ts";
import { isHostRuntime } from "./runtimes.ts";

/** Where a shim tells of itself which types it makes. Source: containerd core/runtime/v2/task_manager.go. */
const allowedAnnotation = "containerd.io/runtime-allow-mounts";

/** Lets garbage collection take the mounts away with the container, should the daemon die before it does. */
const containerLabel = "containerd.io/gc.bref.container";

export interface TaskMountsOptions {
  readonly manager: MountManager;
  readonly runtimeInfo: RuntimeInfoSource;
  readonly log: Logger;
}

/** What the manager has made of a task's root. */
export interface MadeMounts {
  /** What is left to the shim. */
  readonly rootfs: readonly Mount[];
  /** They were made by this call, so that it takes them away if it fails. */
  readonly isNew: boolean;
}

/**
 * The mounts of a task's root that its shim can't make: the mount manager makes them under the task's name.
 * Source: containerd core/runtime/v2/task_manager.go, Create and Delete.
 */
export class TaskMounts {
  readonly #options: TaskMountsOptions;

  constructor(options: TaskMountsOptions) {
    this.#options = options;
  }

  /**
   * Errors: what the mount manager says. Effects: those that are there under the task's name serve it, whatever they are:
   * the daemon died after it had made them, or a client made them before.
   */
  async make(ctx: Ctx, id: string, runtime: string, rootfs: readonly Mount[]): Promise<MadeMounts> {
    const left = { rootfs, isNew: false };
    if (!needsManager(rootfs)) return left;
    const allowed = await this.#allowed(ctx, runtime);
    if (!needsManager(rootfs, allowed)) return left;
    const { manager } = this.#options;
    const labels = new Map([[containerLabel, id]]);
    try {
      const request = { name: id, mounts: decodeMounts(rootfs), labels, temporary: false, allowed };
      return { rootfs: messagesOf((await manager.activate(ctx, request)).system), isNew: true };
    } catch (error) {
      if (!isFault(error, "alreadyExists")) throw error;
      return { rootfs: messagesOf((await manager.info(ctx, id)).system), isNew: false };
    }
  }

  /** Takes away what was made for a task, if anything was. Never rejects: what is busy goes with a garbage collection. */
  async takeAway(ctx: Ctx, id: string): Promise<void> {
    const { manager, log } = this.#options;
    try {
      if (await manager.has(ctx, id)) await manager.deactivate(ctx, id);
    } catch (error) {
      logFor(ctx, log).error("failed to deactivate mounts", { id, error });
    }
  }

  /** What the runtime's shim says that it makes itself. */
  async #allowed(ctx: Ctx, runtime: string): Promise<AllowedTypes> {
    if (isHostRuntime(runtime)) return new Set();
    const request = anyOf(RuntimeRequestSchema, create(RuntimeRequestSchema, { runtimePath: runtime }));
    try {
      const { annotations } = anyTo(await this.#options.runtimeInfo(ctx, request), RuntimeInfoSchema);
      return new Set(annotations[allowedAnnotation]?.split(","));
    } catch (error) {
      logFor(ctx, this.#options.log).error("failed to load runtime info", { runtime, error });
      return new Set();
    }
  }
}

function messagesOf(mounts: Parameters<typeof encodeMounts>[0]): Mount[] {
  return encodeMounts(mounts).map((mount) => create(MountSchema, mount));
}
