import { FaultError, notFound, quote } from "../../lib/faults.ts";
import type { HostParts } from "../parts.ts";
import type { Task } from "../task/task.ts";
import { loadSandboxes, removeSandbox, type SandboxRecord, saveSandbox } from "./sandbox-files.ts";

/** A group of tasks that starts before and ends after them. */
export class HostSandbox {
  readonly #folder: string;
  #record: SandboxRecord;
  readonly #stopped = Promise.withResolvers<void>();

  constructor(folder: string, record: SandboxRecord) {
    this.#folder = folder;
    this.#record = record;
    if (record.phase === "stopped") this.#stopped.resolve();
  }

  get record(): SandboxRecord {
    return this.#record;
  }

  /** Settles when one without a process is stopped or taken away. */
  get stopped(): Promise<void> {
    return this.#stopped.promise;
  }

  /** Changes what is kept of it, on disk first. */
  become(changes: Partial<Pick<SandboxRecord, "phase" | "stoppedAt">>): void {
    const next = { ...this.#record, ...changes };
    saveSandbox(this.#folder, next);
    this.#record = next;
    if (next.phase === "stopped") this.#stopped.resolve();
  }

  settle(): void {
    this.#stopped.resolve();
  }
}

/** The sandboxes of all namespaces. What an earlier host left is taken up when this is made, after its tasks were. */
export class HostSandboxes {
  readonly #parts: HostParts;
  readonly #sandboxes = new Map<string, HostSandbox>();

  constructor(parts: HostParts) {
    this.#parts = parts;
    for (const { namespace, id, record } of loadSandboxes(parts.folder)) {
      const kept = record instanceof FaultError ? this.#guess(namespace, id, record) : this.#settled(record);
      if (kept === undefined) removeSandbox(parts.folder, namespace, id);
      else this.#sandboxes.set(key(namespace, id), new HostSandbox(parts.folder, kept));
    }
  }

  /** Errors: notFound. */
  get(namespace: string, id: string): HostSandbox {
    const found = this.#sandboxes.get(key(namespace, id));
    if (found === undefined) throw notFound(`sandbox ${quote(id)}`);
    return found;
  }

  /** Errors: alreadyExists. Effects: on disk when it answers. */
  add(record: SandboxRecord): HostSandbox {
    const { namespace, id } = record;
    if (this.#sandboxes.has(key(namespace, id)) || this.#parts.tasks.find(namespace, id) !== undefined) {
      throw new FaultError("alreadyExists", `sandbox ${quote(id)}: already exists`);
    }
    saveSandbox(this.#parts.folder, record);
    const sandbox = new HostSandbox(this.#parts.folder, record);
    this.#sandboxes.set(key(namespace, id), sandbox);
    return sandbox;
  }

  remove(sandbox: HostSandbox): void {
    const { namespace, id } = sandbox.record;
    removeSandbox(this.#parts.folder, namespace, id);
    if (this.#sandboxes.get(key(namespace, id)) === sandbox) this.#sandboxes.delete(key(namespace, id));
    sandbox.settle();
  }

  /** The task that is a sandbox's own process; undefined where there is none. */
  taskOf({ record }: HostSandbox): Task | undefined {
    return record.hasProcess ? this.#parts.tasks.find(record.namespace, record.id) : undefined;
  }

  /** A creation that came to its end counts though nobody heard of it: the caller takes it down. Without a task there is nothing. */
  #settled(record: SandboxRecord): SandboxRecord | undefined {
    if (!record.hasProcess) return record;
    if (this.#parts.tasks.find(record.namespace, record.id) === undefined) return undefined;
    return record.phase === "creating" ? { ...record, phase: "created" } : record;
  }

  /** Of one whose file can't be read only its process is known, if it has one. */
  #guess(namespace: string, id: string, why: FaultError): SandboxRecord | undefined {
    this.#parts.log.error("the state of a sandbox can't be read", { namespace, id, error: why });
    const task = this.#parts.tasks.find(namespace, id);
    if (task === undefined) return undefined;
    const phase = task.init.status === "created" ? "created" : "ready";
    const createdAt = this.#parts.now().toString();
    return { schema: 1, namespace, id, bundle: task.bundle, hasProcess: true, phase, createdAt, stoppedAt: "" };
  }
}

const key = (namespace: string, id: string): string => `${namespace}/${id}`;
