import type { Client } from "../client/client.ts";
import { containerLabels } from "../client/containers/labels.ts";
import { dateOf } from "../client/containers/tasks.ts";
import type { Container } from "../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Process } from "../gen/containerd/v1/types/task_pb.ts";
import { type HealthView, healthViewOf } from "../lib/health-labels.ts";
import { processStart } from "./process-start.ts";
import { type RestartView, restartViewOf } from "./restart-options.ts";
import { formatAgo, formatSpan } from "./units.ts";

export type ContainerState = "created" | "running" | "paused" | "pausing" | "exited" | "restarting" | "unknown";

/** One container as a person sees it. */
export interface ContainerRow {
  readonly id: string;
  readonly image: string;
  readonly state: ContainerState;
  readonly pid: number;
  /** When its first process began; undefined where that is not known. */
  readonly startedAt: Date | undefined;
  readonly exitStatus: number | undefined;
  readonly exitedAt: Date | undefined;
  readonly createdAt: Date;
  readonly runtime: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly command: string;
  /** Undefined for one that nobody starts again. */
  readonly restart: RestartView | undefined;
  /** Undefined for one that is not checked. */
  readonly health: HealthView | undefined;
}

/** The states by the wire's numbers. Source: containerd api/types/task/task.proto. */
const states: readonly ContainerState[] = ["unknown", "created", "running", "exited", "paused", "pausing"];

/** All containers with what their tasks do, the newest first. */
export async function listContainers(client: Client): Promise<ContainerRow[]> {
  const [{ containers }, { tasks }] = await Promise.all([client.containers.list({}), client.tasks.list({})]);
  const byId = new Map(tasks.map((task) => [task.id, task]));
  return containers
    .map((container) => rowOf(container, byId.get(container.id)))
    .sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
}

export function rowOf(container: Container, task: Process | undefined): ContainerRow {
  const { labels } = container;
  const recorded = labels[containerLabels.exitStatus];
  const base = {
    id: container.id,
    image: container.image,
    createdAt: dateOf(container.createdAt),
    runtime: container.runtime?.name ?? "",
    labels,
    command: commandOf(container),
    restart: restartViewOf(labels),
    health: healthViewOf(labels),
  };
  const { waiting } = base.restart ?? {};
  if (task !== undefined) {
    const told = states[task.status] ?? "unknown";
    const ended = told === "exited";
    const state = waiting !== undefined && (ended || told === "created") ? "restarting" : told;
    return {
      ...base,
      state,
      pid: task.pid,
      startedAt: ended ? undefined : processStart(task.pid),
      exitStatus: ended ? task.exitStatus : undefined,
      exitedAt: ended ? dateOf(task.exitedAt) : undefined,
    };
  }
  const none = { pid: 0, startedAt: undefined };
  if (waiting !== undefined) {
    return { ...base, ...none, state: "restarting", exitStatus: waiting.exitStatus, exitedAt: undefined };
  }
  if (recorded === undefined) return { ...base, ...none, state: "created", exitStatus: undefined, exitedAt: undefined };
  const exitedAt = new Date(labels[containerLabels.exitedAt] ?? 0);
  return { ...base, ...none, state: "exited", exitStatus: Number(recorded), exitedAt };
}

/** `Up 5 minutes`, `Up 2 hours (Paused)`, `Exited (3) 2 hours ago`: docker's words. */
export function statusText(row: ContainerRow, now: Date): string {
  switch (row.state) {
    case "running":
      return `${upText(row, now)}${healthText(row.health)}`;
    case "paused":
      return `${upText(row, now)} (Paused)`;
    case "restarting":
    case "exited":
      return `${row.state === "exited" ? "Exited" : "Restarting"} (${row.exitStatus ?? "?"})${row.exitedAt === undefined || row.exitedAt.getTime() <= 0 ? "" : ` ${formatAgo(row.exitedAt, now)}`}`;
    default:
      return `${row.state[0]?.toUpperCase()}${row.state.slice(1)}`;
  }
}

function healthText(health: HealthView | undefined): string {
  if (health === undefined) return "";
  return health.status === "starting" ? " (health: starting)" : ` (${health.status})`;
}

function upText({ startedAt }: ContainerRow, now: Date): string {
  return startedAt === undefined ? "Up" : `Up ${formatSpan(now.getTime() - startedAt.getTime())}`;
}

function commandOf(container: Container): string {
  try {
    const spec = JSON.parse(new TextDecoder().decode(container.spec?.value)) as { process?: { args?: unknown } };
    const args = spec.process?.args;
    return Array.isArray(args) ? args.join(" ") : "";
  } catch {
    // A spec of another kind has no command to show.
    return "";
  }
}
