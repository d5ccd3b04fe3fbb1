import { create } from "@bufbuild/protobuf";
import { HealthChangedSchema } from "../../gen/lighter/health/v1/health_pb.ts";
import { formatHealthView, healthLabels, healthViewOf } from "../../lib/health-labels.ts";
import type { Logger } from "../../lib/log.ts";
import { anyOf } from "../../wire/any.ts";
import type { ContainerStore } from "../containers/index.ts";
import type { Exchange } from "../events/index.ts";
import type { TaskManager } from "../tasks/index.ts";
import { type Checked, ctxOf, nameOf } from "./checked.ts";
import { afterProbe, inStartPeriod, type ProbeResult } from "./health-state.ts";
import type { StateFiles } from "./state-files.ts";

export interface VerdictsOptions {
  readonly containers: Pick<ContainerStore, "findChecked" | "relabel">;
  readonly tasks: Pick<TaskManager, "get">;
  readonly exchange: Pick<Exchange, "publish">;
  readonly files: StateFiles;
  readonly log: Logger;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

const sigkill = 9;

/** What comes of checks: a container's state, its label, an event, and its end where it asks for that. */
export class Verdicts {
  readonly #options: VerdictsOptions;

  constructor(options: VerdictsOptions) {
    this.#options = options;
  }

  /** Takes the result of a check. Errors: as the filesystem's, the store's, the shim's; the next check does what is left. */
  async take(checked: Checked, result: ProbeResult): Promise<void> {
    checked.state = afterProbe(checked.state, checked.check, result);
    await this.#options.files.write(checked, checked.state);
    const labels = this.#options.containers.findChecked(checked)?.labels;
    if (labels === undefined) return;
    // After each check: what failed last time, or what a death came before, is done by the next one.
    if (healthViewOf(labels)?.status !== checked.state.status) await this.show(checked, result);
    if (checked.state.status === "unhealthy" && labels[healthLabels.onFailure] === "kill") await this.#kill(checked);
  }

  /**
   * Brings the container's label to what the file says, and tells of it.
   * Effects: whoever dies before it is followed by one that finds the two different.
   */
  async show(checked: Checked, result: ProbeResult | undefined): Promise<void> {
    const { containers, exchange, log, now } = this.#options;
    const { state, check } = checked;
    const ctx = ctxOf(checked, checked.ending.signal, log);
    const label = formatHealthView(state, inStartPeriod(state, check, now()));
    const changed = await containers.relabel(ctx, checked.id, ({ labels }) =>
      healthViewOf(labels)?.status === state.status ? undefined : { [healthLabels.state]: label },
    );
    if (changed === undefined || state.status === "starting") return;
    const { status, failingStreak } = state;
    const { exitCode = 0, output = "" } = result ?? state.probes.at(-1) ?? {};
    const told = { containerId: checked.id, status, failingStreak, exitCode, output };
    exchange.publish(ctx, "/containers/health", anyOf(HealthChangedSchema, create(HealthChangedSchema, told)));
    log.info("container's health changed", { ...nameOf(checked), status, failingStreak });
  }

  async #kill(checked: Checked): Promise<void> {
    const { tasks, log } = this.#options;
    const ctx = ctxOf(checked, checked.ending.signal, log);
    log.warn("container is killed: it is unhealthy", { ...nameOf(checked) });
    await (await tasks.get(ctx, checked.id)).kill("", { signal: sigkill, all: false });
  }
}
