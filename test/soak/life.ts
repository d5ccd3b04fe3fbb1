import fs from "node:fs";
import path from "node:path";
import { isFault } from "../../src/lib/faults.ts";
import { createKernel } from "../../src/sys/index.ts";
import type { ContainerApi } from "../support/index.ts";
import type { Span } from "./killer.ts";
import type { Line } from "./line.ts";

/** What one container of a soak does; by its number, so that a run can be read. */
export interface Life {
  readonly id: string;
  readonly script: string;
  readonly exitCode: number;
  /** What it prints, each word once, into a FIFO. */
  readonly output: string;
  /** Another process in it, after which it ends: an init that goes first takes the others with it. */
  readonly exec: { readonly script: string; readonly exitCode: number } | undefined;
}

/** The life of a container with a number: some end at once, some live through a death or two, each third has an exec. */
export function lifeOf(index: number): Life {
  const id = `s${index}`;
  const exitCode = index % 200;
  const exec =
    index % 3 === 0
      ? { script: `echo $$ > /new; mv /new /go; exit ${(index + 1) % 200}`, exitCode: (index + 1) % 200 }
      : undefined;
  const middle =
    exec === undefined ? `sleep 0.${index % 7}` : "while [ ! -e /go ] || [ -e /proc/$(cat /go) ]; do sleep 0.05; done";
  return { id, script: `echo begin; ${middle}; echo end; exit ${exitCode}`, exitCode, output: "begin\nend\n", exec };
}

/** How a host reports an exit that nobody could know, and says so in its log. */
const unknownStatus = 255;

/**
 * Leads one container through its whole life, whoever dies meanwhile.
 * Shape: an exec whose exit code was reported as unknown is answered with the time that its start took: what a runtime
 * makes while its host dies, and ends before the next host comes, was held by nobody.
 * Errors: when an exit code is another one than its own, or when it ran twice or its output got lost.
 */
export async function live(
  line: Line,
  folder: string,
  { id, script, exitCode, output, exec }: Life,
): Promise<Span | undefined> {
  using stdout = openFifo(path.join(folder, `${id}.out`));
  await line.persist((api) => createOnce(api, id, ["sh", "-c", script]));
  await line.persist((api) => startOnce(api, id, stdout.path));
  const unknown = exec === undefined ? undefined : await execute(line, id, exec);
  check("exit code", await line.persist((api) => api.wait(id)), exitCode);
  await line.persist((api) => unlessGone(() => api.tasks.delete({ containerId: id })));
  await line.persist((api) => unlessGone(() => api.snapshots.remove({ snapshotter: "overlayfs", key: id })));
  await line.persist((api) => unlessGone(() => api.containers.delete({ id })));
  check("output", stdout.read(), output);
  return unknown;
}

async function execute(line: Line, id: string, exec: NonNullable<Life["exec"]>): Promise<Span | undefined> {
  const execId = "e";
  const from = performance.now();
  await line.persist((api) => execOnce(api, id, execId, exec.script));
  const to = performance.now();
  const wait = async (api: ContainerApi): Promise<number> =>
    (await api.tasks.wait({ containerId: id, execId })).exitStatus;
  const got = await line.persist(wait);
  if (got !== unknownStatus) check("exec's exit code", got, exec.exitCode);
  await line.persist((api) => unlessGone(() => api.tasks.deleteProcess({ containerId: id, execId })));
  return got === unknownStatus ? { from, to } : undefined;
}

function check(what: string, got: unknown, want: unknown): void {
  if (got !== want) throw new Error(`${what} ${JSON.stringify(got)}, not ${JSON.stringify(want)}`);
}

/** Creates snapshot and record unless an earlier try, whose answer was lost, did; half of a pair is made anew. */
async function createOnce(api: ContainerApi, id: string, args: readonly string[]): Promise<void> {
  try {
    await api.create(id, args);
  } catch (error) {
    if (!isFault(error, "alreadyExists")) throw error;
    const { containers } = await api.containers.list({ filters: [`id==${id}`] });
    if (containers.length > 0) return;
    await unlessGone(() => api.snapshots.remove({ snapshotter: "overlayfs", key: id }));
    await api.create(id, args);
  }
}

/** A removal whose first try was answered to nobody finds nothing the second time. */
async function unlessGone(removal: () => Promise<unknown>): Promise<void> {
  try {
    await removal();
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
  }
}

/** Starts a task unless an earlier try, whose answer was lost, did. */
async function startOnce(api: ContainerApi, id: string, stdout: string): Promise<void> {
  try {
    await api.start(id, { stdout });
  } catch (error) {
    if (!isFault(error, "alreadyExists") && !isFault(error, "failedPrecondition")) throw error;
    const { process } = await api.tasks.get({ containerId: id });
    if (process?.status === statusCreated) await api.tasks.start({ containerId: id });
  }
}

/** Adds and starts an exec unless an earlier try did. */
async function execOnce(api: ContainerApi, id: string, execId: string, script: string): Promise<void> {
  await api.addExec(id, execId, ["sh", "-c", script]).catch((error: unknown) => {
    if (!isFault(error, "alreadyExists")) throw error;
  });
  const { process } = await api.tasks.get({ containerId: id, execId });
  if (process?.status === statusCreated) await api.tasks.start({ containerId: id, execId });
}

/** containerd.v1.types.Status.CREATED */
const statusCreated = 1;

interface Fifo extends Disposable {
  readonly path: string;
  /** What lies in it now. */
  read(): string;
}

/** A FIFO held open by both its ends: whatever a container wrote lies in it until it is read. */
function openFifo(name: string): Fifo {
  createKernel().mkfifo(name, 0o600);
  const fd = fs.openSync(name, fs.constants.O_RDWR | fs.constants.O_NONBLOCK);
  return {
    path: name,
    read: () => {
      const buffer = Buffer.alloc(4096);
      try {
        return buffer.toString("utf8", 0, fs.readSync(fd, buffer));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
        throw error;
      }
    },
    [Symbol.dispose]: () => {
      fs.closeSync(fd);
      fs.rmSync(name, { force: true });
    },
  };
}
