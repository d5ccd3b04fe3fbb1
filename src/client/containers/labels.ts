import { isFault } from "../../lib/faults.ts";
import type { Client } from "../client.ts";

/** Labels under which this client remembers things about the containers it made. */
export const containerLabels = {
  /** The file in which a container's output is kept. */
  logPath: "lighter/log-path",
  /** How many bytes of it are kept, where that is not the default; 0 for all. */
  logBound: "lighter/log-max-bytes",
  /** `apart` where stderr has a file of its own. */
  logStreams: "lighter/log-streams",
  /** The exit status, once the task that had it was deleted. */
  exitStatus: "lighter/exit-status",
  exitedAt: "lighter/exited-at",
  /** Set to the terminal's presence, so that `start` makes the task as `run` did. */
  terminal: "lighter/terminal",
  /** Docker's and nerdctl's word for what stops a container. Source: containerd client/containers.go. */
  stopSignal: "io.containerd.image.config.stop-signal",
  autoRemove: "lighter/auto-remove",
} as const;

/** Sets labels of a container; an empty value takes one away. A container that is gone is no failure. */
export async function setLabels(client: Client, id: string, labels: Readonly<Record<string, string>>): Promise<void> {
  try {
    await client.containers.update({
      container: { id, labels },
      updateMask: { paths: Object.keys(labels).map((label) => `labels.${label}`) },
    });
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}
