import { closeSync, constants, openSync, statSync } from "node:fs";
import { mkdir } from "node:fs/promises";
import { basename, isAbsolute, join } from "node:path";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { failedPrecondition, invalidArgument, isFault, notImplemented, quote, wrapFault } from "../../lib/faults.ts";
import { createSlots } from "../../lib/slots.ts";
import { isErrno, openFlags } from "../../sys/index.ts";
import { anyToJson } from "../../wire/any.ts";
import { spawnWorker, type TreeSource } from "../../workers/index.ts";
import type { ContainerStore } from "../containers/index.ts";
import type { MountSpec } from "../mounts/index.ts";
import type { Snapshotters } from "../snapshots/index.ts";
import type { Task, TaskManager } from "../tasks/index.ts";
import type { ContainerEndpoint, OnTransferProgress, ReadEndpoint, WriteEndpoint } from "./transfer.ts";

export interface ContainerCopiesOptions {
  readonly containers: Pick<ContainerStore, "get">;
  readonly tasks: Pick<TaskManager, "get">;
  readonly snapshotters: Snapshotters;
  /** A folder of their own, in which workers mount what no other process sees. */
  readonly root: string;
}

/**
 * Copies between a path of a container and a stream. A running one is seen as its own processes see it, its mounts included; of
 * one that does not run the root filesystem is. Nothing is followed out of it.
 */
export interface ContainerCopies {
  /** Errors: notFound (no such container or path), invalidArgument, failedPrecondition (its root can't be reached). */
  out(ctx: Ctx, from: ContainerEndpoint, to: WriteEndpoint, tell: OnTransferProgress): Promise<void>;
  /** Shape: the path is a folder that is there. Errors: as `out`'s; failedPrecondition (a file and a folder of one name). */
  into(ctx: Ctx, from: ReadEndpoint, to: ContainerEndpoint, tell: OnTransferProgress): Promise<void>;
}

export function createContainerCopies(options: ContainerCopiesOptions): ContainerCopies {
  return new WorkerCopies(options);
}

/** How many workers run at once; the others wait. */
const maxWorkers = 4;
/** How often what goes on is told. */
const tickMs = 300;
/** Generous: they stop bombs, not backups. */
const limits = { maxEntries: 10_000_000, maxBytes: 512 * 2 ** 30 };

/** The top of a running container's tree, or the mounts that make one. */
interface Tree extends Disposable {
  readonly fd?: number;
  readonly source?: TreeSource;
}

class WorkerCopies implements ContainerCopies {
  readonly #options: ContainerCopiesOptions;
  readonly #slots = createSlots(maxWorkers);

  constructor(options: ContainerCopiesOptions) {
    this.#options = options;
  }

  async out(ctx: Ctx, from: ContainerEndpoint, to: WriteEndpoint, tell: OnTransferProgress): Promise<void> {
    requireTar(to.mediaType);
    const { path, noWalk } = from;
    using _slot = await this.#slots.take(ctx.signal);
    using tree = await this.#open(ctx, from.containerId);
    using progress = tellOf(from, tell);
    const output = async (bytes: Uint8Array): Promise<void> => {
      await to.sink.write(bytes);
      progress.add(bytes.length);
    };
    const job = { source: tree.source, path, noWalk };
    await within(`copy from ${nameOf(from)}`, () =>
      spawnWorker("copy-out", job, { signal: ctx.signal, file: tree.fd, output }),
    );
    to.sink.close();
  }

  async into(ctx: Ctx, from: ReadEndpoint, to: ContainerEndpoint, tell: OnTransferProgress): Promise<void> {
    requireTar(from.mediaType);
    const { path, preserveOwnership } = to;
    using _slot = await this.#slots.take(ctx.signal);
    using tree = await this.#open(ctx, to.containerId);
    using progress = tellOf(to, tell);
    const input = counted(from.bytes, progress.add);
    const job = { source: tree.source, path, preserveOwnership, limits };
    await within(`copy to ${nameOf(to)}`, () =>
      spawnWorker("copy-in", job, { signal: ctx.signal, file: tree.fd, input }),
    );
  }

  async #open(ctx: Ctx, id: string): Promise<Tree> {
    const container = this.#options.containers.get(ctx, id);
    const fd = await this.#runningRoot(ctx, container);
    if (fd !== undefined) return { fd, [Symbol.dispose]: () => closeSync(fd) };
    const mountPoint = join(this.#options.root, "tree");
    await mkdir(mountPoint, { recursive: true, mode: 0o700 });
    const mounts = await this.#mounts(ctx, container);
    return { source: { mounts, mountPoint }, [Symbol.dispose]: () => {} };
  }

  /** The root of a container's init; undefined where none runs. Errors: failedPrecondition, notImplemented. */
  async #runningRoot(ctx: Ctx, container: Container): Promise<number | undefined> {
    const task = await this.#options.tasks.get(ctx, container.id).catch((error: unknown) => {
      if (isFault(error, "notFound")) return undefined;
      throw error;
    });
    const pid = task === undefined ? undefined : await livingPid(task);
    if (task === undefined || pid === undefined) return undefined;
    if (!sharesKernel(container.runtime?.name ?? "")) {
      throw notImplemented(`copies with a running container of runtime ${quote(container.runtime?.name ?? "")}`);
    }
    const fd = openRoot(pid);
    if (fd === undefined) return undefined;
    try {
      // Only now is it known that the process was not another's with the same number.
      if ((await livingPid(task)) === pid) return fd;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    closeSync(fd);
    return undefined;
  }

  async #mounts(ctx: Ctx, { snapshotter, snapshotKey, spec }: Container): Promise<readonly MountSpec[]> {
    if (snapshotKey !== "") return this.#options.snapshotters.get(snapshotter).mounts(ctx, snapshotKey);
    const root = spec === undefined ? undefined : (anyToJson(spec) as { root?: { path?: unknown } }).root?.path;
    if (typeof root === "string" && isAbsolute(root)) {
      return [{ type: "bind", source: root, target: "", options: ["rbind", "rw"] }];
    }
    throw failedPrecondition("the container has no snapshot, and no root that is known while it does not run");
  }
}

async function livingPid(task: Task): Promise<number | undefined> {
  const { status, pid } = await task.state("");
  const lives = status === Status.CREATED || status === Status.RUNNING || status === Status.PAUSED;
  return (lives || status === Status.PAUSING) && pid > 0 ? pid : undefined;
}

/** Whether a container's init is a process whose root is the container's: not so where a machine is in between. */
function sharesKernel(runtime: string): boolean {
  const name = isAbsolute(runtime) ? basename(runtime).replace(/^containerd-shim-/, "") : runtime;
  return /(?:^|[.-])(?:runc|crun|lighter|linux)(?:[.-]|$)/.test(name);
}

/** Errors: failedPrecondition (it is this process's own root). */
function openRoot(pid: number): number | undefined {
  try {
    const path = `/proc/${pid}/root`;
    const [theirs, ours] = [statSync(path), statSync("/")];
    if (theirs.dev === ours.dev && theirs.ino === ours.ino) {
      throw failedPrecondition("the container's root is the machine's own");
    }
    return openSync(path, openFlags.path | constants.O_DIRECTORY);
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH")) return undefined;
    throw error;
  }
}

/** Source: the type that containerd's clients give. */
function requireTar(mediaType: string): void {
  if (mediaType === "" || mediaType === "application/x-tar" || mediaType === "application/tar") return;
  throw invalidArgument(`copies with containers are tar archives (application/x-tar), not ${quote(mediaType)}`);
}

function nameOf({ containerId, path }: ContainerEndpoint): string {
  return `${containerId}:${path}`;
}

async function within<T>(what: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    throw wrapFault(what, error);
  }
}

/** Tells how many bytes of the archive have passed, at once and from time to time. */
function tellOf(
  endpoint: ContainerEndpoint,
  tell: OnTransferProgress,
): Disposable & { readonly add: (bytes: number) => void } {
  const name = nameOf(endpoint);
  let [progress, told] = [0, -1];
  const say = (): void => {
    if (progress === told) return;
    told = progress;
    tell({ event: "copying", name, progress });
  };
  say();
  const timer = setInterval(say, tickMs);
  return {
    add: (bytes) => {
      progress += bytes;
    },
    [Symbol.dispose]: () => {
      clearInterval(timer);
      say();
    },
  };
}

async function* counted(bytes: AsyncIterable<Uint8Array>, add: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const piece of bytes) {
    yield piece;
    add(piece.length);
  }
}
