// Measures where the time of one container's life goes: each step of it and its share, by the daemon's own spans.
// usage: bun bench/trace.ts [--lives 60] [--runtime runc]...
import { parseArgs } from "node:util";
import { type RuntimeName, waitFor } from "../test/support/index.ts";
import { type ReceivedSpan, startOtlpReceiver } from "../test/support/otlp-receiver.ts";
import { measureLife } from "./life.ts";
import { bareLoop } from "./measurements.ts";
import { startSide } from "./sides.ts";
import { short, summarize } from "./statistics.ts";

export interface TraceOptions {
  /** One after the other. */
  readonly lives: number;
  readonly runtimes: readonly RuntimeName[];
}

/** A step of a life: its median, in ms. */
interface Step {
  readonly name: string;
  /** Of the shim host, within the call before it. */
  readonly isWithin: boolean;
  readonly milliseconds: number;
}

export interface LifeTrace {
  readonly runtime: RuntimeName;
  /** From one container's first call to the next one's, as the caller sees it. */
  readonly life: number;
  /** The runtime alone: create, start, the end, delete. */
  readonly bare: number;
  readonly steps: readonly Step[];
}

/** The calls of a life in their order, and what the shim host is asked for within them. */
const order = [
  ["leases.v1.Leases/Create"],
  ["snapshots.v1.Snapshots/Prepare"],
  ["containers.v1.Containers/Create"],
  ["leases.v1.Leases/Delete"],
  ["snapshots.v1.Snapshots/Mounts"],
  ["tasks.v1.Tasks/Create", "shim create"],
  ["tasks.v1.Tasks/Start", "shim start"],
  ["tasks.v1.Tasks/Wait"],
  ["tasks.v1.Tasks/Delete", "shim delete"],
  ["snapshots.v1.Snapshots/Remove"],
  ["containers.v1.Containers/Delete"],
] as const;
const servicePrefix = "containerd.services.";
const receiveTimeoutMs = 20_000;

/** Lives on a daemon that sends its spans here. What sending them costs is in the figures. */
export async function benchTrace({ lives, runtimes }: TraceOptions): Promise<readonly LifeTrace[]> {
  const traces: LifeTrace[] = [];
  for (const runtime of runtimes) {
    using receiver = startOtlpReceiver();
    const env = { OTEL_EXPORTER_OTLP_ENDPOINT: receiver.endpoint, OTEL_BSP_MAX_QUEUE_SIZE: "65536" };
    await using side = await startSide("lighter", runtime, env);
    // Not counted: nobody is measured cold.
    await measureLife(side, Math.ceil(lives / 4), 1);
    const warm = receiver.spans;
    await waitFor("the first spans", () => countOf(warm, Math.ceil(lives / 4)), receiveTimeoutMs);
    const before = warm.length;
    const life = 1000 / (await measureLife(side, lives, 1));
    await waitFor("the last spans", () => countOf(receiver.spans.slice(before), lives), receiveTimeoutMs);
    const bare = 1000 / (await bareLoop(runtime, lives, 1));
    traces.push({ runtime, life, bare, steps: stepsOf(receiver.spans.slice(before)) });
  }
  return traces;
}

const lastCall = `${servicePrefix}${order.at(-1)?.[0]}`;
const countOf = (spans: readonly ReceivedSpan[], lives: number): true | undefined =>
  spans.filter(({ name }) => name === lastCall).length >= lives ? true : undefined;

function stepsOf(spans: readonly ReceivedSpan[]): readonly Step[] {
  return order.flatMap(([call, within]) => [
    { name: call, isWithin: false, milliseconds: medianOf(spans, `${servicePrefix}${call}`) },
    ...(within === undefined ? [] : [{ name: within, isWithin: true, milliseconds: medianOf(spans, within) }]),
  ]);
}

function medianOf(spans: readonly ReceivedSpan[], name: string): number {
  const times = spans.filter((span) => span.name === name).map(({ nanoseconds }) => Number(nanoseconds) / 1e6);
  return summarize(times).median;
}

/** The page as Markdown. */
export function traceTable(traces: readonly LifeTrace[]): string {
  return traces.map(tableOf).join("\n\n");
}

function tableOf({ runtime, life, bare, steps }: LifeTrace): string {
  const row = (name: string, milliseconds: number): string =>
    `| ${name} | ${milliseconds.toFixed(2)} ms | ${((100 * milliseconds) / life).toFixed(1)} % |`;
  const calls = steps.filter(({ isWithin }) => !isWithin).reduce((sum, step) => sum + step.milliseconds, 0);
  return [
    `| one life on ${runtime} | median | share |`,
    "| --- | --- | --- |",
    ...steps.map(({ name, isWithin, milliseconds }) =>
      row(isWithin ? `&nbsp;&nbsp;of it ${name}` : name, milliseconds),
    ),
    row("the client, and the way there and back", Math.max(0, life - calls)),
    row("all of it", life),
    row(`bare ${runtime}: create, start, the end, delete (${short(life / bare)} times less)`, bare),
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      lives: { type: "string", default: "60" },
      runtime: { type: "string", multiple: true, default: ["runc", "crun"] },
    },
  });
  const runtimes = values.runtime.map((name): RuntimeName => (name === "crun" ? "crun" : "runc"));
  console.log(traceTable(await benchTrace({ lives: Number(values.lives), runtimes })));
}
