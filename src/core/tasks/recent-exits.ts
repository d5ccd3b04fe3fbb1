import { fromBinary } from "@bufbuild/protobuf";
import { TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import type { Event } from "../../gen/lighter/shim/v1/host_pb.ts";
import type { ExitInfo } from "./tasks.ts";

/** Exits that are remembered: those of the last seconds on a busy machine. */
const capacity = 1024;

interface Exit {
  readonly namespace: string;
  readonly bytes: Uint8Array;
}

/** The exits that were reported last, for an answer that got lost with a host after the process was deleted. */
export class RecentExits {
  readonly #ring: Exit[] = [];
  #next = 0;

  /** Keeps the event if it tells of an exit. Costs nothing more until somebody asks. */
  note({ namespace, topic, event }: Event): void {
    if (topic !== "/tasks/exit" || event === undefined) return;
    this.#ring[this.#next] = { namespace, bytes: event.value };
    this.#next = (this.#next + 1) % capacity;
  }

  /** How the process ended, the last time that one of this name did. */
  find(namespace: string, id: string, execId: string): ExitInfo | undefined {
    for (let age = 1; age <= this.#ring.length; age += 1) {
      const found = this.#ring[(this.#next - age + capacity) % capacity];
      if (found?.namespace !== namespace) continue;
      const exit = fromBinary(TaskExitSchema, found.bytes);
      if (exit.containerId !== id || exit.id !== (execId === "" ? id : execId)) continue;
      return { pid: exit.pid, exitStatus: exit.exitStatus, exitedAt: exit.exitedAt };
    }
    return undefined;
  }
}
