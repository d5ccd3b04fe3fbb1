import type { TaskManager } from "../../core/tasks/index.ts";
import { Debug } from "../../gen/lighter/debug/v1/debug_pb.ts";
import { invalidArgument } from "../../lib/faults.ts";
import { pause } from "../../lib/pause.ts";
import type { PluginView } from "../../plugin/index.ts";
import type { Kernel } from "../../sys/index.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";

export interface DebugServiceOptions {
  readonly plugins: PluginView;
  readonly tasks: () => TaskManager["figures"] | undefined;
  readonly kernel: Pick<Kernel, "peerOf">;
}

const longestSeconds = 600;
const pieceBytes = 1 << 20;
const ownMethod = `/${Debug.typeName}/Calls`;

/** lighter.debug.v1.Debug: what the daemon is doing. Shape: its parts are loaded by the first call for them. */
export function createDebugService({ plugins, tasks, kernel }: DebugServiceOptions): ServiceDefinition {
  return defineService(Debug, {
    calls: async () => {
      const { callsUnderWay } = await import("./calls-under-way.ts");
      const calls = callsUnderWay(plugins, kernel, ownMethod);
      return { calls: calls.map((call) => ({ ...call, leftSeconds: call.leftSeconds ?? 0 })) };
    },
    handles: async () => {
      const { childProcesses, heapFigures, openDescriptors, taskStates } = await import("./handles.ts");
      const { heapSize, objectCount } = heapFigures();
      return {
        pid: process.pid,
        uptimeSeconds: process.uptime(),
        residentBytes: BigInt(process.memoryUsage.rss()),
        heapBytes: BigInt(heapSize),
        heapObjects: BigInt(objectCount),
        descriptors: [...openDescriptors()],
        children: [...childProcesses()],
        tasks: [...(await taskStates(tasks()))],
      };
    },
    async *heap() {
      yield* pieces(Bun.generateHeapSnapshot("v8"));
    },
    async *profile(ctx, { seconds }) {
      if (!(seconds > 0 && seconds <= longestSeconds)) {
        throw invalidArgument(`seconds must be more than 0, and ${longestSeconds} at most`);
      }
      ctx.step = `watches the processor for ${seconds} s`;
      // A profiler: a daemon that is not asked for one does not load it.
      const { cpuProfile } = await import("./cpu-profile.ts");
      yield* pieces(await cpuProfile(() => pause(seconds * 1000, ctx.signal)));
    },
  });
}

function* pieces(text: string): Generator<{ data: Uint8Array }> {
  const bytes = Buffer.from(text);
  for (let at = 0; at < bytes.length; at += pieceBytes) yield { data: bytes.subarray(at, at + pieceBytes) };
}
