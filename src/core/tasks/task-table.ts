import type { ShimTask } from "./shim-task.ts";

/** The tasks that the daemon knows, of all namespaces. */
export class TaskTable {
  readonly #tasks = new Map<string, ShimTask>();

  /** Creations that failed and may have left something at a host that could not be asked to take it down, by key. */
  readonly orphans: Set<string> = new Set();

  get(namespace: string, id: string): ShimTask | undefined {
    return this.#tasks.get(taskKey(namespace, id));
  }

  add(task: ShimTask): void {
    this.#tasks.set(taskKey(task.namespace, task.id), task);
  }

  /** Removes this very task; another one of its name stays. */
  remove(task: ShimTask): void {
    const key = taskKey(task.namespace, task.id);
    if (this.#tasks.get(key) === task) this.#tasks.delete(key);
  }

  inNamespace(namespace: string): ShimTask[] {
    return this.all().filter((task) => task.namespace === namespace);
  }

  all(): ShimTask[] {
    return [...this.#tasks.values()];
  }

  get size(): number {
    return this.#tasks.size;
  }
}

/** What names a task among those of all namespaces. */
export function taskKey(namespace: string, id: string): string {
  return `${namespace}/${id}`;
}
