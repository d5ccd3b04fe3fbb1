import type { Ctx } from "../../lib/ctx.ts";
import { createCtx } from "../../lib/ctx.ts";
import { messageOf } from "../../lib/faults.ts";
import type { LeaseManager } from "../leases/index.ts";

/** How long a lease keeps what a transfer brought when nobody deletes it. Source: containerd core/transfer/local/transfer.go. */
const leaseMs = 24 * 60 * 60 * 1000;

/** The same context with another signal. */
export function withSignal({ namespace, lease, log, metadata }: Ctx, signal: AbortSignal): Ctx {
  return createCtx({ namespace, lease, log, metadata, signal });
}

/** Runs an action under the caller's lease, or else under one of its own that goes when the action is done. */
export async function underLease<T>(ctx: Ctx, leases: LeaseManager, action: (ctx: Ctx) => Promise<T>): Promise<T> {
  if (ctx.lease !== undefined && ctx.lease !== "") return action(ctx);
  const labels = new Map([["containerd.io/gc.expire", new Date(Date.now() + leaseMs).toISOString()]]);
  const { id } = await leases.create(ctx, { id: "", labels });
  const { namespace, log, metadata, signal } = ctx;
  try {
    return await action(createCtx({ namespace, lease: id, log, metadata, signal }));
  } finally {
    try {
      await leases.delete(createCtx({ namespace, log }), id);
    } catch (error) {
      log.warn("the transfer's lease was not deleted: it expires by itself", { lease: id, error: messageOf(error) });
    }
  }
}
