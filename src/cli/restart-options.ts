import type { Client } from "../client/client.ts";
import { setLabels } from "../client/containers/labels.ts";
import { messageOf } from "../lib/faults.ts";
import type { LabelRecord } from "../lib/labels.ts";
import { type LogTarget, logAddress } from "../lib/output-log/index.ts";
import {
  formatRestartPolicy,
  isExplicitlyStopped,
  parseRestartPolicy,
  type RestartPolicy,
  restartCountOf,
  restartLabels,
  restartRecordOf,
} from "../lib/restart-labels.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import { UsageError } from "./usage-error.ts";

export const restartHint = "use no, always, unless-stopped, on-failure or on-failure:N";

export const restartOption: OptionSpec = {
  long: "restart",
  value: "POLICY",
  help: "When the daemon starts it again: no (the default), always, unless-stopped, on-failure[:N]",
};

/** The policy that was asked for; undefined for none. Errors: UsageError. */
export function readRestartPolicy(args: ParsedArgs): RestartPolicy | undefined {
  const text = args.text("restart");
  if (text === undefined) return undefined;
  try {
    const policy = parseRestartPolicy(text);
    if (text !== "" && policy.maxRetries >= 0) return policy;
  } catch (error) {
    throw new UsageError(`option --restart: ${messageOf(error).replace(/: invalid argument$/, "")}`, restartHint);
  }
  throw new UsageError(`option --restart: ${JSON.stringify(text)} is no policy`, restartHint);
}

/** What a container's labels say of its policy and where a restarted task's output goes; whether it shall run is said once it does. */
export function policyLabels(policy: RestartPolicy, log: LogTarget | undefined): Record<string, string> {
  return {
    [restartLabels.policy]: formatRestartPolicy(policy),
    ...(log === undefined ? {} : { [restartLabels.logUri]: logAddress(log) }),
  };
}

/** Whether somebody, this command or nerdctl, gave the container to the restart monitor. */
export function isSupervised(labels: LabelRecord): boolean {
  return labels[restartLabels.status] !== undefined || labels[restartLabels.policy] !== undefined;
}

/** Says that a container was started by a person: from now on it is kept running, and restarts are counted anew. */
export async function keepRunning(client: Client, id: string): Promise<void> {
  await setLabels(client, id, {
    [restartLabels.status]: "running",
    [restartLabels.explicitlyStopped]: "false",
    [restartLabels.count]: "",
    [restartLabels.record]: "",
  });
}

/** Says that it is stopped on purpose, before it is. */
export async function stayStopped(client: Client, id: string): Promise<void> {
  await setLabels(client, id, { [restartLabels.explicitlyStopped]: "true" });
}

/** Takes a container from the restart monitor, for its removal. */
export async function letGo(client: Client, id: string): Promise<void> {
  await setLabels(client, id, { [restartLabels.status]: "" });
}

/** What a person is shown of restarts. */
export interface RestartView {
  /** As its label has it; empty without one. */
  readonly policy: string;
  readonly count: number;
  readonly explicitlyStopped: boolean;
  /** Why it is about to be restarted, or can't be; undefined when it is not. */
  readonly waiting:
    | { readonly reason: string; readonly waitMs: number; readonly exitStatus: number | undefined }
    | undefined;
}

/** What labels say of restarts; undefined for a container that nobody restarts. */
export function restartViewOf(labels: LabelRecord): RestartView | undefined {
  if (!isSupervised(labels)) return undefined;
  const record = restartRecordOf(labels);
  const { reason, waitMs, exitStatus } = record?.state === "waiting" ? record : {};
  return {
    policy: labels[restartLabels.policy] ?? "always",
    count: restartCountOf(labels) ?? 0,
    explicitlyStopped: isExplicitlyStopped(labels),
    waiting: reason === undefined || waitMs === undefined ? undefined : { reason, waitMs, exitStatus },
  };
}
