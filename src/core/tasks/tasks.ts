import type { Any, Timestamp } from "@bufbuild/protobuf/wkt";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Metric } from "../../gen/containerd/types/metrics_pb.ts";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import type { ProcessInfo, Status } from "../../gen/containerd/v1/types/task_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import type { Trace } from "../../lib/trace.ts";
import type { PassedOnEvents } from "../../plugin/index.ts";
import type { RuntimeResolver, ShimEndpoint } from "../shims/index.ts";
import type { TaskFigures } from "./figures.ts";
import type { SandboxEndpointLookup } from "./runtimes.ts";

/** Where a process reads and writes: paths of FIFOs, or URIs of the schemes that the shim takes. */
export interface ProcessIo {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
  readonly terminal: boolean;
}

export interface TaskCreation {
  readonly id: string;
  readonly io: ProcessIo;
  readonly rootfs: readonly Mount[];
  /** The container's options of the runtime are used where this carries nothing. */
  readonly options: Any | undefined;
  /** Takes the place of the container's runtime. */
  readonly runtimePath: string;
  /** Where the container's sandbox takes the calls of its tasks; the runtime's options may say it too. */
  readonly taskApi?: ShimEndpoint | undefined;
  /** CRIU's images as content, or the index of a checkpoint. */
  readonly checkpoint: Descriptor | undefined;
}

export interface ExecCreation {
  readonly execId: string;
  readonly io: ProcessIo;
  readonly spec: Any | undefined;
}

export interface ExitInfo {
  readonly pid: number;
  readonly exitStatus: number;
  readonly exitedAt: Timestamp | undefined;
}

export interface ProcessState extends ExitInfo, ProcessIo {
  readonly status: Status;
}

export interface Signal {
  readonly signal: number;
  readonly all: boolean;
}

/**
 * A container's running incarnation, as its shim tells of it. The empty exec id names the init process.
 * Errors, all methods: notFound (the shim knows no such process), unavailable (the shim went away and the call
 * can't be repeated safely, or no shim answers in time); other kinds and texts are the shim's.
 */
export interface Task {
  readonly namespace: string;
  readonly id: string;
  readonly bundle: string;
  /** The same task, whose calls to its shim belong to that span. */
  within(trace: Trace | undefined): Task;
  /** Answers the process id. */
  start(execId: string): Promise<number>;
  /** The real state; status unknown, and nothing else, where the shim fails to tell. */
  state(execId: string): Promise<ProcessState>;
  exec(creation: ExecCreation): Promise<void>;
  deleteProcess(execId: string): Promise<ExitInfo>;
  kill(execId: string, signal: Signal): Promise<void>;
  resize(execId: string, width: number, height: number): Promise<void>;
  closeStdin(execId: string): Promise<void>;
  pause(): Promise<void>;
  resume(): Promise<void>;
  pids(): Promise<readonly ProcessInfo[]>;
  /** Writes CRIU's images into a folder. */
  checkpoint(folder: string, options: Any | undefined): Promise<void>;
  update(resources: Any | undefined, annotations: Readonly<Record<string, string>>): Promise<void>;
  /** Live figures. Shape: `timeoutMs` is how long it may take; 0 for as long as it takes. */
  stats(timeoutMs?: number): Promise<Any | undefined>;
  /** Waits through deaths of the shim host. Ends early with the signal. */
  wait(execId: string, signal: AbortSignal): Promise<Omit<ExitInfo, "pid">>;
}

/** A task that its shim took with it, or that was found gone with it. */
export interface LostTask {
  readonly namespace: string;
  readonly id: string;
  readonly pid: number;
  readonly exitStatus: number;
}

export type OnLostTask = (lost: LostTask) => void;

/** The tasks of every namespace; each call acts in the context's one. */
export interface TaskManager extends AsyncDisposable {
  /**
   * Tells of a runtime: containerd.types.RuntimeRequest in, RuntimeInfo out; introspection asks it.
   * Errors: notImplemented (another request), unknown (no such runtime, or it fails to tell).
   */
  pluginInfo(ctx: Ctx, request: Any): Promise<Any>;
  /** Finds shims for what is no task: sandboxes. */
  readonly shims: RuntimeResolver;
  /** Asks that, too, where a sandbox takes the calls of its tasks. */
  addSandboxEndpoints(lookup: SandboxEndpointLookup): void;
  /** Settles when the tasks of the daemon's last life are known. Never rejects; every call waits for it. */
  readonly recovered: Promise<void>;
  /**
   * Makes a task from a container: its bundle, its root, its init process, not yet started. Answers the process id.
   * Errors: notFound (no such container), alreadyExists (it has a task), what the runtime said.
   * Effects: nothing is left when it fails. Events come from the shim: /tasks/create.
   */
  create(ctx: Ctx, creation: TaskCreation): Promise<number>;
  /** The calls of what it answers go on with the context's trace. Errors: notFound (no such container, or it has no task). */
  get(ctx: Ctx, id: string): Promise<Task>;
  list(ctx: Ctx): Promise<readonly Task[]>;
  /** Removes a task that does not run, and its bundle. Errors: notFound; what the shim says of a running one. */
  delete(ctx: Ctx, id: string): Promise<ExitInfo>;
  /**
   * Ends a task, whatever it does, and removes it; also one whose container is gone. Errors: notFound (no such task), what
   * the shim says. Effects: waits a few seconds for the shim at each step, and no longer.
   */
  abandon(ctx: Ctx, id: string): Promise<void>;
  /**
   * Checkpoints a task into content: CRIU's images as a tar, and the container's spec. Into files alone, with nothing
   * answered, when the options name an image path.
   * Source: containerd plugins/services/tasks/local.go, Checkpoint.
   */
  checkpoint(ctx: Ctx, id: string, options: Any | undefined): Promise<readonly Descriptor[]>;
  /**
   * Hears, until disposed, of tasks that their own shims took with them: right before the events of their exit and deletion, which
   * look as if a client had deleted them.
   */
  onLost(listener: OnLostTask): Disposable;
  /** What there is to watch about tasks, of all namespaces. */
  readonly figures: TaskFigures;
  /** Which of the host's events were passed on, for a daemon that takes this one's place; complete once the exchange has retired. */
  readonly passedOn: PassedOnEvents | undefined;
  /** Errors: invalidArgument (a filter that doesn't parse). One that can't be measured is left out. */
  metrics(ctx: Ctx, filters: readonly string[]): Promise<readonly Metric[]>;
}
