import { create } from "@bufbuild/protobuf";
import { type Any, type Timestamp, TimestampSchema } from "@bufbuild/protobuf/wkt";
import { OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { Sandbox } from "../../gen/containerd/types/sandbox_pb.ts";
import { type Clock, systemClock } from "../../lib/clock.ts";
import { abortFault, type Ctx } from "../../lib/ctx.ts";
import { FaultError, fault, isFault, quote, wrapFault } from "../../lib/faults.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import { metadataOf } from "../../lib/trace.ts";
import { defaultTimeLimits, type TimeLimits } from "../../plugin/index.ts";
import { anyIs } from "../../wire/any.ts";
import type { CallOptions } from "../../wire/service.ts";
import { requireNamespace } from "../required-namespace.ts";
import { type RunningSandbox, RunningSandboxes, type RunningSandboxesOptions } from "./running-sandboxes.ts";
import { writeRecord } from "./sandbox-records.ts";
import type { SandboxController, SandboxCreation, SandboxEndpoint, SandboxStatus } from "./sandboxes.ts";

export interface ShimControllerOptions extends RunningSandboxesOptions {
  /** Where the shared host takes calls. */
  readonly endpoint: SandboxEndpoint;
  readonly clock?: Clock | undefined;
  /** containerd's defaults when left out. */
  readonly timeouts?: Pick<TimeLimits, "shimCleanupMs"> | undefined;
}

/**
 * Makes the controller whose sandboxes are shims', which serve containerd.runtime.sandbox.v1. It takes over those of the
 * daemon's last life; disposing waits for what it does by itself.
 * Source: containerd plugins/sandbox/controller.go, with its texts.
 */
export function createShimController(options: ShimControllerOptions): SandboxController & AsyncDisposable {
  return new ShimController(options);
}

class ShimController implements SandboxController, AsyncDisposable {
  readonly #options: ShimControllerOptions;
  readonly #running: RunningSandboxes;
  readonly #locks = new KeyedMutex();

  constructor(options: ShimControllerOptions) {
    this.#options = options;
    this.#running = new RunningSandboxes(options);
  }

  async create(ctx: Ctx, creation: SandboxCreation): Promise<void> {
    const namespace = requireNamespace(ctx);
    const id = creation.sandbox.sandboxId;
    await this.#running.known;
    using _lock = await this.#locks.lock(`${namespace}/${id}`);
    if (this.#running.find(namespace, id) !== undefined) {
      throw new FaultError("alreadyExists", `sandbox ${id} already running: already exists`);
    }
    const sandbox = await this.#prepare(namespace, creation.sandbox);
    try {
      await this.#running.callOnce(sandbox, (client) =>
        client.createSandbox(requestOf(creation, sandbox), { namespace, metadata: metadataOf(ctx.trace) }),
      );
    } catch (error) {
      await this.#takeDown(sandbox);
      throw wrapFault(`failed to create sandbox ${id}`, error);
    }
    if (!ctx.aborted) return;
    // Whoever asked for it is gone, and nobody else knows of it.
    await this.#takeDown(sandbox);
    throw abortFault(ctx.signal);
  }

  async start(ctx: Ctx, id: string): ReturnType<SandboxController["start"]> {
    const namespace = requireNamespace(ctx);
    await this.#running.known;
    using _lock = await this.#locks.lock(`${namespace}/${id}`);
    const sandbox = this.#running.find(namespace, id);
    if (sandbox === undefined) throw new FaultError("unknown", `unable to find sandbox ${quote(id)}`);
    try {
      const call = { namespace, metadata: metadataOf(ctx.trace) };
      const answer = await this.#running.callOnce(sandbox, (c) => c.startSandbox({ sandboxId: id }, call));
      const { pid, createdAt, spec } = answer;
      return { ...(await this.#endpoint(sandbox)), pid, createdAt: timeOr(createdAt, epoch), labels: {}, spec };
    } catch (error) {
      // One that runs already is not ended for that.
      if (!isFault(error, "failedPrecondition")) await this.#takeDown(sandbox);
      throw wrapFault(`failed to start sandbox ${id}`, error);
    }
  }

  async platform(ctx: Ctx, id: string): ReturnType<SandboxController["platform"]> {
    const { sandbox, call } = await this.#find(ctx, id);
    const answer = await this.#running
      .callRepeatable(sandbox, (client) => client.platform({ sandboxId: id }, call))
      .catch((error: unknown) => {
        throw wrapFault("failed to get sandbox platform", error);
      });
    return answer.platform;
  }

  async stop(ctx: Ctx, id: string, timeoutSecs: number): Promise<void> {
    const found = await this.#find(ctx, id).catch(ifNotFound);
    if (found === undefined) return;
    const { sandbox, call } = found;
    try {
      await this.#running.callRepeatable(sandbox, (client) => client.stopSandbox({ sandboxId: id, timeoutSecs }, call));
    } catch (error) {
      if (isFault(error, "notFound") || isFault(error, "unavailable")) return;
      throw wrapFault("failed to stop sandbox", error);
    }
  }

  async wait(ctx: Ctx, id: string): ReturnType<SandboxController["wait"]> {
    const { sandbox, call } = await this.#find(ctx, id);
    try {
      const answer = await this.#running.callRepeatable(sandbox, (client) =>
        client.waitSandbox({ sandboxId: id }, call),
      );
      return { exitStatus: answer.exitStatus, exitedAt: timeOr(answer.exitedAt, epoch) };
    } catch (error) {
      throw wrapFault(`failed to wait sandbox ${id}`, error);
    }
  }

  async status(ctx: Ctx, id: string, verbose: boolean): Promise<SandboxStatus> {
    const found = await this.#find(ctx, id).catch(ifNotFound);
    if (found === undefined) return gone(id, (this.#options.clock ?? systemClock)().toTimestamp());
    const { sandbox, call } = found;
    try {
      const answer = await this.#running.callRepeatable(sandbox, (client) =>
        client.sandboxStatus({ sandboxId: id, verbose }, call),
      );
      const { sandboxId, pid, state, info, createdAt, exitedAt, extra } = answer;
      const times = { createdAt: timeOr(createdAt, epoch), exitedAt: timeOr(exitedAt, epoch) };
      return { ...(await this.#endpoint(sandbox)), id: sandboxId, pid, state, info, ...times, extra };
    } catch (error) {
      throw wrapFault(`failed to query sandbox ${id} status`, error);
    }
  }

  async shutdown(ctx: Ctx, id: string): Promise<void> {
    const { sandbox, call } = await this.#find(ctx, id);
    using _lock = await this.#locks.lock(`${sandbox.bundle.namespace}/${id}`);
    try {
      const whole = { ...call, signal: undefined };
      await this.#running.callRepeatable(sandbox, (client) => client.shutdownSandbox({ sandboxId: id }, whole));
    } catch (error) {
      // A shim that knows it no more has nothing left of it either.
      if (isFault(error, "notFound")) await this.#running.remove(sandbox);
      throw wrapFault("failed to shutdown sandbox", error);
    }
    await this.#running.remove(sandbox);
  }

  async metrics(ctx: Ctx, id: string): ReturnType<SandboxController["metrics"]> {
    const { sandbox, call } = await this.#find(ctx, id);
    const answer = await this.#running.callRepeatable(sandbox, (c) => c.sandboxMetrics({ sandboxId: id }, call));
    return answer.metrics;
  }

  /** The shims' API has no such call: as in containerd nothing is done. */
  async update(_ctx: Ctx, _id: string, _sandbox: Sandbox, _paths: readonly string[]): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running.known;
    await this.#options.bundles.idle();
  }

  /** Errors: notFound, in containerd's bare words. */
  async #find(
    ctx: Ctx,
    id: string,
  ): Promise<{ sandbox: RunningSandbox; call: CallOptions & { readonly namespace: string } }> {
    const namespace = requireNamespace(ctx);
    await this.#running.known;
    const sandbox = this.#running.find(namespace, id);
    if (sandbox === undefined) throw fault("notFound", "");
    return { sandbox, call: { namespace, signal: ctx.signal, metadata: metadataOf(ctx.trace) } };
  }

  /** The bundle, with what finds the shim again; it is there before the shim has anything. */
  async #prepare(namespace: string, { sandboxId: id, spec, runtime }: Sandbox): Promise<RunningSandbox> {
    const { bundles, shims } = this.#options;
    await using undo = new AsyncDisposableStack();
    const bundle = await bundles.create(namespace, id, spec);
    undo.defer(() => bundles.remove(bundle));
    const wanted = { runtime: runtime?.name ?? "", options: runtime?.options };
    try {
      const shim = await shims.resolve({ ...wanted, namespace, id, bundle: bundle.path });
      undo.defer(() => shim.own?.release());
      await shim.connection();
      await writeRecord(bundle.path, wanted);
      const sandbox = { bundle, ...wanted };
      this.#running.add(sandbox, shim);
      undo.move();
      return sandbox;
    } catch (error) {
      throw wrapFault(`failed to start new shim for sandbox ${id}`, error);
    }
  }

  async #endpoint(sandbox: RunningSandbox): Promise<SandboxEndpoint> {
    return (await this.#running.endpointOf(sandbox)) ?? this.#options.endpoint;
  }

  async #takeDown(sandbox: RunningSandbox): Promise<void> {
    const { namespace, id } = sandbox.bundle;
    try {
      const { shimCleanupMs: timeoutMs } = this.#options.timeouts ?? defaultTimeLimits;
      const call = { namespace, timeoutMs };
      await this.#running.callRepeatable(sandbox, (client) => client.shutdownSandbox({ sandboxId: id }, call));
    } catch (error) {
      if (!isFault(error, "notFound")) this.#options.log.error("failed to shutdown sandbox", { id, error });
    }
    await this.#running.remove(sandbox);
  }
}

function requestOf(creation: SandboxCreation, { bundle, options }: RunningSandbox) {
  const { sandbox, rootfs, netnsPath, annotations } = creation;
  const given = optionsFor(creation.options, options);
  return {
    sandboxId: sandbox.sandboxId,
    bundlePath: bundle.path,
    rootfs: [...rootfs],
    netnsPath,
    annotations: { ...annotations },
    ...(given === undefined ? {} : { options: given }),
  };
}

/** A shim that is a process of its own has runc's options since its start; the shared host gets them here. */
function optionsFor(given: Any | undefined, ofRuntime: Any | undefined): Any | undefined {
  return given ?? (anyIs(ofRuntime, OptionsSchema) ? ofRuntime : undefined);
}

/** What Go makes of a time that was left out of a message, and of one that was never set. */
const epoch: Timestamp = create(TimestampSchema);
const goZeroTime: Timestamp = create(TimestampSchema, { seconds: -62_135_596_800n });

function timeOr(time: Timestamp | undefined, otherwise: Timestamp): Timestamp {
  return time ?? otherwise;
}

function gone(id: string, exitedAt: Timestamp): SandboxStatus {
  const nothing = { pid: 0, state: "", info: {}, extra: undefined, address: "", version: 0 };
  return { ...nothing, id, createdAt: goZeroTime, exitedAt };
}

function ifNotFound(error: unknown): undefined {
  if (!isFault(error, "notFound")) throw error;
}
