import type { Any } from "@bufbuild/protobuf/wkt";
import { type ProcessInfo, Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { isFault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { SharedWait } from "../../lib/shared-wait.ts";
import { metadataOf, type Trace } from "../../lib/trace.ts";
import type { TimeLimits } from "../../plugin/index.ts";
import type { CallOptions } from "../../wire/service.ts";
import type { Shim, ShimConnection } from "../shims/index.ts";
import type { RecentExits } from "./recent-exits.ts";
import { callOnce, callRepeatable, diedUnder, livesMax, through } from "./shim-calls.ts";
import { answered, type CallTimes, type DaemonFailpoint, type ShimCall } from "./steps.ts";
import type { ExecCreation, ExitInfo, ProcessState, Signal, Task, TaskCreation } from "./tasks.ts";

const sigkill = 9;

export interface ShimTaskOptions {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly shim: Shim;
  readonly exits: RecentExits;
  readonly log: Logger;
  /** Fires when the daemon ends: waits end with it. */
  readonly closing: AbortSignal;
  readonly timeouts: Pick<TimeLimits, "taskStateMs">;
  readonly failpoint: DaemonFailpoint;
  readonly timed?: CallTimes | undefined;
  /** Why the shim can't read the task's state, if so. */
  readonly broken?: string | undefined;
  /** The span that its calls belong to. */
  readonly trace?: Trace | undefined;
  /** The task of which it is a view; waits are that one's, and belong to no trace, for one is shared by all who wait. */
  readonly whole?: ShimTask | undefined;
}

const unknownState: ProcessState = {
  status: Status.UNKNOWN,
  pid: 0,
  stdin: "",
  stdout: "",
  stderr: "",
  terminal: false,
  exitStatus: 0,
  exitedAt: undefined,
};

type TaskClient = ShimConnection["task"];
type WaitAnswer = Omit<ExitInfo, "pid">;

/** A task behind a shim connection. */
export class ShimTask implements Task {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  readonly shim: Shim;
  readonly broken: string | undefined;
  readonly #exits: RecentExits;
  readonly #call: CallOptions;
  readonly #log: Logger;
  readonly #closing: AbortSignal;
  readonly #timeouts: ShimTaskOptions["timeouts"];
  readonly #steps: Parameters<typeof answered>[0];
  /** One wait a process at the shim, however many clients wait. */
  readonly #waits = new Map<string, SharedWait<WaitAnswer>>();
  readonly #options: ShimTaskOptions;

  constructor(options: ShimTaskOptions) {
    this.namespace = options.namespace;
    this.id = options.id;
    this.bundle = options.bundle;
    this.shim = options.shim;
    this.broken = options.broken;
    this.#exits = options.exits;
    this.#call = { namespace: options.namespace, metadata: metadataOf(options.trace) };
    this.#options = options;
    this.#log = options.log;
    this.#closing = options.closing;
    this.#timeouts = options.timeouts;
    this.#steps = { failpoint: options.failpoint, timed: options.timed };
  }

  within(trace: Trace | undefined): ShimTask {
    if (trace === undefined) return this;
    return new ShimTask({ ...this.#options, trace, whole: this.#options.whole ?? this });
  }

  /** Makes the init process. Answers its id. */
  async create(creation: TaskCreation, checkpoint: string, options: Any | undefined): Promise<number> {
    const { io, rootfs } = creation;
    const request = { id: this.id, bundle: this.bundle, ...io, rootfs: [...rootfs], checkpoint };
    const full = options === undefined ? request : { ...request, options };
    return (await this.#once("create", (task) => task.create(full, this.#call))).pid;
  }

  /** Deletes whatever a creation that failed has left, and ends it first where need be. Errors: notFound when that is nothing. */
  async abandon(timeoutMs: number): Promise<void> {
    const call = { ...this.#call, timeoutMs };
    const { id } = this;
    try {
      await callRepeatable(this.shim, (task) => task.delete({ id }, call), timeoutMs);
    } catch (error) {
      if (isFault(error, "notFound")) throw error;
      await callRepeatable(this.shim, (task) => task.kill({ id, signal: sigkill, all: true }, call), timeoutMs);
      await callRepeatable(this.shim, (task) => task.wait({ id }, call), timeoutMs);
      await callRepeatable(this.shim, (task) => task.delete({ id }, call), timeoutMs);
    }
  }

  async start(execId: string): Promise<number> {
    const connection = await this.shim.connection();
    try {
      const call = (task: TaskClient): ReturnType<TaskClient["start"]> =>
        answered(this.#steps, execId === "" ? "start" : "exec-start", task.start({ id: this.id, execId }, this.#call));
      return (await through(connection, call)).pid;
    } catch (error) {
      if (!(await diedUnder(connection, error))) throw error;
      return this.#startedAfterAll(execId, error);
    }
  }

  async state(execId: string): Promise<ProcessState> {
    if (this.broken !== undefined) return unknownState;
    const timeoutMs = this.#timeouts.taskStateMs;
    try {
      const call = (task: TaskClient): ReturnType<TaskClient["state"]> =>
        task.state({ id: this.id, execId }, { ...this.#call, timeoutMs });
      const state = await callRepeatable(this.shim, call, timeoutMs);
      return { ...state, exitedAt: state.exitedAt };
    } catch (error) {
      if (isFault(error, "notFound") || isFault(error, "unavailable")) throw error;
      this.#log.error(`get state for ${execId === "" ? this.id : execId}`, { error });
      return unknownState;
    }
  }

  async exec(creation: ExecCreation): Promise<void> {
    const { execId, io, spec } = creation;
    const request = { id: this.id, execId, ...io, ...(spec === undefined ? {} : { spec }) };
    await this.#once("exec", (task) => task.exec(request, this.#call));
  }

  async deleteProcess(execId: string): Promise<ExitInfo> {
    const request = { id: this.id, execId };
    let died = false;
    try {
      const { pid, exitStatus, exitedAt } = await callRepeatable(this.shim, (task) => {
        const call = task.delete(request, this.#call);
        call.catch((error: unknown) => {
          died ||= isFault(error, "unavailable");
        });
        return answered(this.#steps, execId === "" ? "delete" : "exec-delete", call);
      });
      return { pid, exitStatus, exitedAt };
    } catch (error) {
      // The first call had deleted it, and its answer went with the host: nothing of the exit is lost for that.
      const gone = died && isFault(error, "notFound");
      const known = gone ? this.#exits.find(this.namespace, this.id, execId) : await this.#endOfShim(error, execId);
      if (known === undefined) throw error;
      return known;
    }
  }

  async kill(execId: string, { signal, all }: Signal): Promise<void> {
    const request = { id: this.id, execId, signal, all };
    const call = (task: TaskClient): Promise<unknown> => task.kill(request, this.#call);
    // Another signal might be counted by who gets it.
    await (signal === sigkill ? this.#repeatable("kill", call) : this.#once("kill", call));
  }

  async resize(execId: string, width: number, height: number): Promise<void> {
    await callRepeatable(this.shim, (task) => task.resizePty({ id: this.id, execId, width, height }, this.#call));
  }

  async closeStdin(execId: string): Promise<void> {
    await callRepeatable(this.shim, (task) => task.closeIO({ id: this.id, execId, stdin: true }, this.#call));
  }

  async pause(): Promise<void> {
    await this.#once("pause", (task) => task.pause({ id: this.id }, this.#call));
  }

  async resume(): Promise<void> {
    await this.#once("resume", (task) => task.resume({ id: this.id }, this.#call));
  }

  async pids(): Promise<readonly ProcessInfo[]> {
    return (await callRepeatable(this.shim, (task) => task.pids({ id: this.id }, this.#call))).processes;
  }

  async checkpoint(folder: string, options: Any | undefined): Promise<void> {
    const request = { id: this.id, path: folder, ...(options === undefined ? {} : { options }) };
    const call = (task: TaskClient): Promise<unknown> => task.checkpoint(request, this.#call);
    // The shared host finishes what an earlier one began, and answers by it. Somebody else's shim takes its task with it.
    await (this.shim.own === undefined ? this.#repeatable("checkpoint", call) : this.#once("checkpoint", call));
  }

  async update(resources: Any | undefined, annotations: Readonly<Record<string, string>>): Promise<void> {
    const request = { id: this.id, annotations, ...(resources === undefined ? {} : { resources }) };
    await this.#repeatable("update", (task) => task.update(request, this.#call));
  }

  async stats(timeoutMs = 0): Promise<Any | undefined> {
    const call = timeoutMs === 0 ? this.#call : { ...this.#call, timeoutMs };
    return (await callRepeatable(this.shim, (task) => task.stats({ id: this.id }, call), timeoutMs)).stats;
  }

  async wait(execId: string, signal: AbortSignal): Promise<WaitAnswer> {
    const { whole } = this.#options;
    if (whole !== undefined) return whole.wait(execId, signal);
    let shared = this.#waits.get(execId);
    if (shared === undefined) {
      shared = new SharedWait(this.#waitForExit(execId).finally(() => this.#waits.delete(execId)));
      this.#waits.set(execId, shared);
    }
    return shared.wait(signal);
  }

  /** How many wait for the end of one of its processes. */
  get waiting(): number {
    return this.#waits.values().reduce((sum, { count }) => sum + count, 0);
  }

  #once<T>(verb: ShimCall, call: (task: TaskClient) => Promise<T>): Promise<T> {
    return callOnce(this.shim, verb, (task) => answered(this.#steps, verb, call(task)));
  }

  #repeatable<T>(verb: ShimCall, call: (task: TaskClient) => Promise<T>): Promise<T> {
    return callRepeatable(this.shim, (task) => answered(this.#steps, verb, call(task)));
  }

  /** Waits on one life of the shim after the other. */
  async #waitForExit(execId: string): Promise<WaitAnswer> {
    for (;;) {
      let connection: ShimConnection;
      try {
        connection = await this.shim.connection();
      } catch (error) {
        if (this.#closing.aborted) throw error;
        const end = await this.#endOfShim(error, execId);
        if (end !== undefined) return end;
        if (this.shim.own !== undefined) throw error;
        // A round of tries took its time and was logged; the exit is still to come.
        this.#log.warn(`wait for ${this.id}: ${messageOf(error)}`);
        continue;
      }
      try {
        const { exitStatus, exitedAt } = await connection.task.wait({ id: this.id, execId }, this.#call);
        return { exitStatus, exitedAt };
      } catch (error) {
        if (this.#closing.aborted || !(await diedUnder(connection, error))) throw error;
      }
    }
  }

  /** How the task ended when its own shim died: what that shim's `delete` said. Nothing is known of other processes. */
  async #endOfShim(error: unknown, execId: string): Promise<ExitInfo | undefined> {
    const { own } = this.shim;
    if (own === undefined || execId !== "" || !isFault(error, "notFound")) return undefined;
    return Promise.race([own.ended, Promise.resolve(undefined)]);
  }

  /** The shim died during a start: the next life of it knows whether the process had been started. */
  async #startedAfterAll(execId: string, error: unknown): Promise<number> {
    for (let life = 2; ; life += 1) {
      const found = await this.state(execId);
      if (found.status !== Status.CREATED) return found.pid;
      this.#log.warn(`start ${this.id} again: the shim host died during the call`, { error });
      const connection = await this.shim.connection();
      try {
        return (await through(connection, (task) => task.start({ id: this.id, execId }, this.#call))).pid;
      } catch (again) {
        if (life >= livesMax || !(await diedUnder(connection, again))) throw again;
      }
    }
  }
}
