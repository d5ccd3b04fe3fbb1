import { Instant } from "../../lib/instant.ts";

export type Deprecation = "cgroup-v1" | "runc-options-task-api-address" | "runc-options-task-api-version";

const prefix = "io.containerd.deprecation/";

/**
 * What of containerd's deprecated things is met here, with containerd's words: clients show and compare them.
 * Source: containerd pkg/deprecation/deprecation.go.
 */
const messages: Readonly<Record<Deprecation, string>> = {
  "cgroup-v1":
    "The support for cgroup v1 is deprecated since containerd v2.2 and will be removed by no later than May 2029. " +
    "Upgrade the host to use cgroup v2.",
  "runc-options-task-api-address":
    "The `task_api_address` field in runc options is deprecated since containerd v2.3. " +
    "Set `task_api_address` on CreateTaskRequest instead.",
  "runc-options-task-api-version":
    "The `task_api_version` field in runc options is deprecated since containerd v2.3. " +
    "Set `task_api_version` on CreateTaskRequest instead.",
};

export interface DeprecationWarning {
  /** With containerd's prefix, by which clients filter. */
  readonly id: string;
  readonly message: string;
  readonly lastOccurrence: Instant;
}

/** What was met since the daemon's start that will not be there for ever. */
export interface Warnings {
  emit(deprecation: Deprecation): void;
  /** One of each kind, by the time of its last occurrence, in the order in which they came first. */
  list(): readonly DeprecationWarning[];
}

/** Source: containerd plugins/services/warning/service.go. Shape: `now` is the clock; the system's when left out. */
export function createWarnings(now: () => Instant = () => Instant.ofMs(Date.now())): Warnings {
  const met = new Map<Deprecation, Instant>();
  return {
    emit: (deprecation) => void met.set(deprecation, now()),
    list: () =>
      [...met].map(([name, lastOccurrence]) => ({ id: prefix + name, message: messages[name], lastOccurrence })),
  };
}
