import { insideLegacyCgroups, type RuntimeName, runOk } from "../test/support/index.ts";
import { type Density, measureDensity } from "./density.ts";
import { measureExec, measureLife } from "./life.ts";
import { type Side, type SideName, startSide } from "./sides.ts";
import { measureStartUp } from "./start-up.ts";
import { measureStdout } from "./stdio.ts";

/** How much of everything is measured. */
export interface Plan {
  readonly runtimes: readonly RuntimeName[];
  readonly sides: readonly SideName[];
  readonly rounds: number;
  /** Containers for each number in flight. */
  readonly life: readonly { readonly inFlight: number; readonly count: number }[];
  readonly exec: readonly { readonly inFlight: number; readonly count: number }[];
  readonly stdoutMebibytes: number;
  readonly sleepers: number;
}

/** One figure of one side, once a round, in the order of the rounds. */
export interface Series {
  readonly metric: string;
  readonly unit: string;
  readonly runtime: RuntimeName;
  readonly side: SideName | "bare";
  readonly values: number[];
}

export class Record {
  readonly series: Series[] = [];

  add(metric: string, unit: string, runtime: RuntimeName, side: Series["side"], value: number): void {
    const found = this.find(metric, runtime, side);
    if (found !== undefined) found.values.push(value);
    else this.series.push({ metric, unit, runtime, side, values: [value] });
    console.error(`${runtime} ${side.padEnd(10)} ${metric}: ${value.toFixed(1)} ${unit}`);
  }

  find(metric: string, runtime: RuntimeName, side: Series["side"]): Series | undefined {
    return this.series.find((one) => one.metric === metric && one.runtime === runtime && one.side === side);
  }
}

/** The metrics, as tables name them. */
export const metrics = {
  life: (inFlight: number): string => `containers, ${inFlight} in flight`,
  exec: (inFlight: number): string => `execs, ${inFlight} in flight`,
  stdout: "stdout",
  startUp: "start-up to the first answer",
  worked: "memory, just after work",
  idle: "memory, idle",
  loaded: (count: number): string => `memory, ${count} sleeping containers`,
} as const;

/** Measures everything, the sides in turn within each round, so that a noisy machine is noisy to both. */
export async function measureAll(plan: Plan): Promise<Record> {
  const record = new Record();
  for (const runtime of plan.runtimes) {
    await using stack = new AsyncDisposableStack();
    const sides: Side[] = [];
    for (const name of plan.sides) sides.push(stack.use(await startSide(name, runtime)));
    for (let round = 0; round < plan.rounds; round++) {
      await measureRound(plan, runtime, sides, record).catch(async (error: unknown) => {
        for (const { name, daemon } of sides) console.error(`log of ${name}:\n${(await daemon.logs()).slice(-4000)}`);
        throw error;
      });
    }
    for (const side of sides) addDensity(plan, side, await measureDensity(side, plan.sleepers), record);
    // Last, since it cuts the sides' connections.
    for (let round = 0; round < plan.rounds; round++) {
      for (const side of sides) record.add(metrics.startUp, "ms", runtime, side.name, await measureStartUp(side));
    }
  }
  return record;
}

async function measureRound(plan: Plan, runtime: RuntimeName, sides: readonly Side[], record: Record): Promise<void> {
  for (const { inFlight, count } of plan.life) {
    record.add(metrics.life(inFlight), "/s", runtime, "bare", await bareLoop(runtime, count, inFlight));
    for (const side of sides) {
      record.add(metrics.life(inFlight), "/s", runtime, side.name, await measureLife(side, count, inFlight));
    }
  }
  for (const { inFlight, count } of plan.exec) {
    record.add(metrics.exec(inFlight), "/s", runtime, "bare", await bareLoop(runtime, count, inFlight, "exec"));
    for (const side of sides) {
      record.add(metrics.exec(inFlight), "/s", runtime, side.name, await measureExec(side, count, inFlight));
    }
  }
  for (const side of sides) {
    record.add(metrics.stdout, "MiB/s", runtime, side.name, await measureStdout(side, plan.stdoutMebibytes));
  }
}

function addDensity(plan: Plan, side: Side, density: Density, record: Record): void {
  record.add(metrics.worked, "MB", side.runtime, side.name, density.worked);
  record.add(metrics.idle, "MB", side.runtime, side.name, density.idle);
  record.add(metrics.loaded(plan.sleepers), "MB", side.runtime, side.name, density.loaded);
}

/** Containers, or execs in one of them, a second of the runtime alone, in a process of its own. */
export async function bareLoop(
  runtime: RuntimeName,
  count: number,
  inFlight: number,
  work: "life" | "exec" = "life",
): Promise<number> {
  const numbers = [count, inFlight].map(String);
  const command = [process.execPath, `${import.meta.dir}/bare-loop.ts`, runtime, ...numbers, work];
  const whole = runtime === "crun" ? await insideLegacyCgroups(command) : command;
  return Number(await runOk(whole, { timeoutMs: 300_000 }));
}
