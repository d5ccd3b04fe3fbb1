import { create } from "@bufbuild/protobuf";
import { type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import type { Controller } from "../../gen/containerd/services/sandbox/v1/sandbox_pb.ts";
import { abortFault, type Ctx, createCtx } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import { pause } from "../../lib/pause.ts";
import type { ServiceClient } from "../../wire/service.ts";
import type { SandboxController, SandboxEndpoint, SandboxStore } from "../sandbox/index.ts";

/** How long a wait rests before it asks again where the other process was gone. Source: core/sandbox/proxy/controller.go, Wait. */
const firstRestMs = 128;
const longestRestMs = 4096;
/** How long it may take to say where a sandbox takes calls. */
const statusLimitMs = 10_000;

/**
 * A controller of sandboxes that another process serves by containerd's own API, to which it goes by its name here.
 * Source: containerd core/sandbox/proxy/controller.go.
 */
export function createProxyController(
  sandboxer: string,
  connect: () => Promise<ServiceClient<typeof Controller>>,
): SandboxController {
  const of = (sandboxId: string): { sandboxId: string; sandboxer: string } => ({ sandboxId, sandboxer });
  return {
    create: async (ctx, { sandbox, rootfs, options, netnsPath, annotations }) => {
      const more = { sandbox, rootfs: [...rootfs], netnsPath, annotations: { ...annotations } };
      const request = { ...of(sandbox.sandboxId), ...more, ...(options === undefined ? {} : { options }) };
      await (await connect()).create(request, callOf(ctx));
    },
    start: async (ctx, id) => {
      const { pid, createdAt, labels, address, version, spec } = await (await connect()).start(of(id), callOf(ctx));
      return { pid, createdAt: createdAt ?? epoch, labels, address, version, spec };
    },
    platform: async (ctx, id) => (await (await connect()).platform(of(id), callOf(ctx))).platform,
    stop: async (ctx, id, timeoutSecs) => {
      await (await connect()).stop({ ...of(id), timeoutSecs }, callOf(ctx));
    },
    wait: async (ctx, id) => {
      const { exitStatus, exitedAt } = await throughRestarts(ctx, async () =>
        (await connect()).wait(of(id), callOf(ctx)),
      );
      return { exitStatus, exitedAt: exitedAt ?? epoch };
    },
    status: async (ctx, id, verbose) => {
      const answer = await (await connect()).status({ ...of(id), verbose }, callOf(ctx));
      const { sandboxId, pid, state, info, createdAt, exitedAt, extra, address, version } = answer;
      const times = { createdAt: createdAt ?? epoch, exitedAt: exitedAt ?? epoch };
      return { id: sandboxId, pid, state, info, ...times, extra, address, version };
    },
    shutdown: async (ctx, id) => {
      await (await connect()).shutdown(of(id), callOf(ctx));
    },
    metrics: async (ctx, id) => (await (await connect()).metrics(of(id), callOf(ctx))).metrics,
    update: async (ctx, id, sandbox, fields) => {
      await (await connect()).update({ ...of(id), sandbox, fields: [...fields] }, callOf(ctx));
    },
  };
}

/** Where the controller's sandboxes take the calls of their tasks; it says so itself, each time it is asked. */
export function endpointsOf(
  sandboxer: string,
  controller: SandboxController,
  store: Pick<SandboxStore, "get">,
): (namespace: string, sandboxId: string) => Promise<SandboxEndpoint | undefined> {
  return async (namespace, sandboxId) => {
    const ctx = createCtx({ namespace, signal: AbortSignal.timeout(statusLimitMs) });
    if (!isOf(store, ctx, sandboxId, sandboxer)) return undefined;
    const { address, version } = await controller.status(ctx, sandboxId, false);
    return address === "" ? undefined : { address, version };
  };
}

function isOf(store: Pick<SandboxStore, "get">, ctx: Ctx, sandboxId: string, sandboxer: string): boolean {
  try {
    return store.get(ctx, sandboxId).sandboxer === sandboxer;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}

/** What Go makes of a time that was left out of a message. */
const epoch: Timestamp = create(TimestampSchema);

/** Asks again whenever the other process was gone: its sandboxes outlive it. */
async function throughRestarts<T>(ctx: Ctx, ask: () => Promise<T>): Promise<T> {
  for (let restMs = firstRestMs; ; restMs = Math.min(restMs * 2, longestRestMs)) {
    try {
      return await ask();
    } catch (error) {
      if (ctx.aborted) throw abortFault(ctx.signal);
      if (!isFault(error, "unavailable")) throw error;
    }
    await pause(restMs, ctx.signal);
  }
}

function callOf({ namespace, lease, signal }: Ctx): Pick<Ctx, "namespace" | "lease" | "signal"> {
  return { namespace, lease, signal };
}
