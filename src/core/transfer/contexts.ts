import type { Ctx } from "../../lib/ctx.ts";
import { createCtx } from "../../lib/ctx.ts";
import { FaultError, type FaultKind, isFault, messageOf } from "../../lib/faults.ts";
import type { LeaseManager } from "../leases/index.ts";

/** How long a lease keeps what a transfer brought when nobody deletes it. Source: containerd core/transfer/local/transfer.go. */
const leaseMs = 24 * 60 * 60 * 1000;

/** Says of a lease which pull's it is. */
const pullLabel = "io.lighter.transfer/pull";
/** What may be gone another time: what a pull has fetched by then is kept for the next. */
const passing: ReadonlySet<FaultKind> = new Set(["canceled", "deadlineExceeded", "unavailable"]);

export interface LeaseOptions {
  readonly leases: LeaseManager;
  /** The leases of transfers that are under way. */
  readonly active: Set<string>;
  /** What is pulled: a pull that was cut keeps its lease, until it expires or the next pull of the same has succeeded. */
  readonly pulls?: string | undefined;
}

/** Runs an action under the caller's lease, or else under one of its own that goes when the action is done. */
export async function underLease<T>(ctx: Ctx, options: LeaseOptions, action: (ctx: Ctx) => Promise<T>): Promise<T> {
  if (ctx.lease !== undefined && ctx.lease !== "") return action(ctx);
  const { leases, active, pulls } = options;
  const labels = new Map([["containerd.io/gc.expire", new Date(Date.now() + leaseMs).toISOString()]]);
  if (pulls !== undefined) labels.set(pullLabel, pulls);
  const { id } = await leases.create(ctx, { id: "", labels });
  active.add(id);
  const { namespace, log, metadata, signal, trace } = ctx;
  const own = createCtx({ namespace, log });
  let isKept = false;
  try {
    const result = await action(createCtx({ namespace, lease: id, log, metadata, signal, trace }));
    if (pulls !== undefined) await deleteLeases(own, leases, cutPulls(own, options, pulls));
    return result;
  } catch (error) {
    isKept = pulls !== undefined && error instanceof FaultError && passing.has(error.kind) && holdsAny(own, leases, id);
    throw error;
  } finally {
    active.delete(id);
    if (!isKept) await deleteLeases(own, leases, [id]);
  }
}

/** The leases of earlier attempts at the same, in this process or one before. */
function cutPulls(ctx: Ctx, { leases, active }: LeaseOptions, reference: string): readonly string[] {
  const all = leases.list(ctx, []).filter(({ labels }) => labels.get(pullLabel) === reference);
  return all.map(({ id }) => id).filter((id) => !active.has(id));
}

function holdsAny(ctx: Ctx, leases: LeaseManager, id: string): boolean {
  try {
    return leases.listResources(ctx, id).length > 0;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}

async function deleteLeases(ctx: Ctx, leases: LeaseManager, ids: readonly string[]): Promise<void> {
  for (const id of ids) {
    try {
      await leases.delete(ctx, id);
    } catch (error) {
      ctx.log.warn("a transfer's lease was not deleted: it expires by itself", { lease: id, error: messageOf(error) });
    }
  }
}
