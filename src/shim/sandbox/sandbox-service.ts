import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Timestamp } from "@bufbuild/protobuf/wkt";
import {
  Sandbox,
  type SandboxStatusResponseSchema,
  type WaitSandboxResponseSchema,
} from "../../gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { type Metric, MetricSchema } from "../../gen/containerd/types/metrics_pb.ts";
import { type Ctx, unlessAborted } from "../../lib/ctx.ts";
import { isFault } from "../../lib/faults.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { Instant } from "../../lib/instant.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import { namespaceOf } from "../caller.ts";
import { exitOf, waitForExit } from "../operations/inspect.ts";
import { taskStats } from "../operations/resources.ts";
import type { HostParts } from "../parts.ts";
import { createSandbox, shutdownSandbox, startSandbox, stopSandbox } from "./operations.ts";
import { type HostSandbox, HostSandboxes } from "./sandboxes.ts";

/** CRI's words for a sandbox's state. Source: containerd internal/cri/store/sandbox/status.go, State.String. */
const states = { ready: "SANDBOX_READY", notReady: "SANDBOX_NOTREADY" } as const;

/** containerd's shim Sandbox API; decodes, calls, encodes. Source: containerd api/runtime/sandbox/v1/sandbox.proto. */
export function createSandboxService(parts: HostParts): ServiceDefinition {
  const sandboxes = new HostSandboxes(parts);
  const find = (ctx: Ctx, id: string): HostSandbox => sandboxes.get(namespaceOf(ctx), id);
  return defineService(Sandbox, {
    createSandbox: async (ctx, request) => {
      checkIdentifier(request.sandboxId);
      await createSandbox(parts, sandboxes, namespaceOf(ctx), request);
      return {};
    },
    startSandbox: async (ctx, { sandboxId }) => {
      const sandbox = find(ctx, sandboxId);
      const pid = await startSandbox(parts, sandboxes, sandbox);
      return { pid, createdAt: timestampOf(sandbox.record.createdAt) };
    },
    platform: (ctx, { sandboxId }) => {
      find(ctx, sandboxId);
      return { platform: hostPlatform };
    },
    stopSandbox: async (ctx, { sandboxId, timeoutSecs }) => {
      await stopSandbox(parts, sandboxes, find(ctx, sandboxId), timeoutSecs);
      return {};
    },
    waitSandbox: (ctx, { sandboxId }) => waitSandbox(ctx, sandboxes, find(ctx, sandboxId)),
    sandboxStatus: (ctx, { sandboxId }) => statusMessage(sandboxes, find(ctx, sandboxId)),
    pingSandbox: (ctx, { sandboxId }) => {
      find(ctx, sandboxId);
      return {};
    },
    shutdownSandbox: async (ctx, { sandboxId }) => {
      await shutdownSandbox(parts, sandboxes, find(ctx, sandboxId));
      return {};
    },
    sandboxMetrics: (ctx, { sandboxId }) => ({ metrics: metricsOf(parts, sandboxes, find(ctx, sandboxId)) }),
  });
}

const hostPlatform = {
  os: "linux",
  architecture: process.arch === "x64" ? "amd64" : process.arch,
  variant: process.arch === "arm64" ? "v8" : "",
};

async function waitSandbox(
  ctx: Ctx,
  sandboxes: HostSandboxes,
  sandbox: HostSandbox,
): Promise<MessageInitShape<typeof WaitSandboxResponseSchema>> {
  const task = sandboxes.taskOf(sandbox);
  if (task !== undefined) {
    await waitForExit(ctx, task.init);
    return exitOf(task.init);
  }
  await unlessAborted(sandbox.stopped, ctx.signal);
  return { exitStatus: 0, exitedAt: timestampOf(sandbox.record.stoppedAt) };
}

function statusMessage(
  sandboxes: HostSandboxes,
  sandbox: HostSandbox,
): MessageInitShape<typeof SandboxStatusResponseSchema> {
  const { id, phase, createdAt, stoppedAt } = sandbox.record;
  const task = sandboxes.taskOf(sandbox);
  const runs = task === undefined || task.init.status === "running";
  const exitedAt = task?.init.exitedAt?.toTimestamp() ?? timestampOf(stoppedAt);
  return {
    sandboxId: id,
    pid: task?.init.pid ?? 0,
    state: phase === "ready" && runs ? states.ready : states.notReady,
    createdAt: timestampOf(createdAt),
    ...(exitedAt === undefined ? {} : { exitedAt }),
  };
}

function timestampOf(recorded: string): Timestamp | undefined {
  return Instant.parse(recorded)?.toTimestamp();
}

/** Its own process's figures; of one without, or whose process has ended, the time alone. */
function metricsOf(parts: HostParts, sandboxes: HostSandboxes, sandbox: HostSandbox): Metric {
  const metric = create(MetricSchema, { timestamp: parts.now().toTimestamp(), id: sandbox.record.id });
  const task = sandboxes.taskOf(sandbox);
  if (task === undefined) return metric;
  try {
    metric.data = taskStats(task);
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
  return metric;
}
