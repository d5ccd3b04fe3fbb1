import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { messageOf } from "../../lib/faults.ts";
import { type HealthCheck, healthLabels, parseHealthCheck } from "../../lib/health-labels.ts";
import type { LabelRecord } from "../../lib/labels.ts";
import type { Logger } from "../../lib/log.ts";
import type { ContainerName } from "../containers/index.ts";
import type { HealthState } from "./health-state.ts";

/** The check that a container is to have, and the label that says so. */
export interface WantedCheck {
  readonly check: HealthCheck;
  readonly checkText: string;
}

/** A container whose task runs and is checked. */
export interface Checked extends ContainerName {
  check: HealthCheck;
  checkText: string;
  state: HealthState;
  paused: boolean;
  /** Ends what is under way for it. */
  readonly ending: AbortController;
  timer: Disposable | undefined;
  work: Promise<void> | undefined;
}

export function newChecked({ namespace, id }: ContainerName, wanted: WantedCheck, state: HealthState): Checked {
  const ending = new AbortController();
  return { namespace, id, ...wanted, state, paused: false, ending, timer: undefined, work: undefined };
}

/** Reads which check a container's labels want; undefined for none. Effects: one that makes no sense is logged, and is none. */
export function wantedCheck(
  name: ContainerName,
  labels: LabelRecord,
  { checksNerdctl, log }: { readonly checksNerdctl: boolean; readonly log: Logger },
): WantedCheck | undefined {
  const checkText = labels[healthLabels.check] ?? (checksNerdctl ? labels[healthLabels.nerdctlCheck] : undefined);
  if (checkText === undefined) return undefined;
  try {
    const check = parseHealthCheck(checkText);
    return check && { check, checkText };
  } catch (error) {
    log.error("container is not checked", { ...nameOf(name), error: messageOf(error) });
    return undefined;
  }
}

export function keyOf({ namespace, id }: ContainerName): string {
  return `${namespace}/${id}`;
}

export function nameOf({ namespace, id }: ContainerName): { readonly namespace: string; readonly id: string } {
  return { namespace, id };
}

/** A context for what is done for a container. */
export function ctxOf({ namespace }: ContainerName, signal: AbortSignal, log: Logger): Ctx {
  return createCtx({ namespace, signal, log });
}
