import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { OptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import type { CreateSandboxRequest } from "../../gen/containerd/runtime/sandbox/v1/sandbox_pb.ts";
import { CreateTaskRequestSchema } from "../../gen/containerd/task/v3/shim_pb.ts";
import { FaultError, invalidArgument, isFault, quote } from "../../lib/faults.ts";
import { anyIs } from "../../wire/any.ts";
import { createTask } from "../operations/create.ts";
import { deleteProcess } from "../operations/delete.ts";
import { killProcess } from "../operations/kill.ts";
import { startProcess } from "../operations/start.ts";
import type { HostParts } from "../parts.ts";
import type { Task } from "../task/task.ts";
import type { HostSandbox, HostSandboxes } from "./sandboxes.ts";

const [sigterm, sigkill] = [15, 9];
/** How long a killed process may take to end. */
const killedMs = 10_000;

/**
 * Makes a sandbox. With a config.json in its bundle it has a process of its own, as that says; else it is a name that groups tasks.
 * Shape: options of runc's type name the OCI runtime; others are for other shims.
 * Errors: alreadyExists, invalidArgument (the bundle), what the runtime said. Effects: nothing is left when it fails.
 */
export async function createSandbox(
  parts: HostParts,
  sandboxes: HostSandboxes,
  namespace: string,
  request: CreateSandboxRequest,
): Promise<void> {
  const { sandboxId: id, bundlePath: bundle, rootfs, options } = request;
  if (!isAbsolute(bundle)) throw invalidArgument(`bundle ${quote(bundle)} is not an absolute path`);
  const hasProcess = existsSync(join(bundle, "config.json"));
  const phase = hasProcess ? "creating" : "created";
  const createdAt = parts.now().toString();
  const record = { schema: 1, namespace, id, bundle, hasProcess, phase, createdAt, stoppedAt: "" } as const;
  const sandbox = sandboxes.add(record);
  if (!hasProcess) return;
  try {
    const task = create(CreateTaskRequestSchema, { id, bundle, rootfs });
    if (anyIs(options, OptionsSchema)) task.options = options;
    await createTask(parts, namespace, task);
    sandbox.become({ phase: "created" });
  } catch (error) {
    sandboxes.remove(sandbox);
    throw error;
  }
}

/** Starts it. Answers its process's number; 0 without one. Errors: failedPrecondition (it was started before), the runtime's. */
export async function startSandbox(parts: HostParts, sandboxes: HostSandboxes, sandbox: HostSandbox): Promise<number> {
  const { id, phase } = sandbox.record;
  if (phase !== "created") {
    const now = phase === "stopped" ? "stopped" : phase === "creating" ? "not created yet" : "running";
    throw new FaultError("failedPrecondition", `sandbox ${quote(id)} is ${now}: failed precondition`);
  }
  const task = sandboxes.taskOf(sandbox);
  const pid = task === undefined ? 0 : await startProcess(parts, task, "");
  sandbox.become({ phase: "ready" });
  return pid;
}

/** Ends its process: asked to for as long as the timeout says, then made to. One that has ended is fine. */
export async function stopSandbox(
  parts: HostParts,
  sandboxes: HostSandboxes,
  sandbox: HostSandbox,
  timeoutSeconds: number,
): Promise<void> {
  const task = sandboxes.taskOf(sandbox);
  if (task !== undefined) await endInit(parts, task, timeoutSeconds);
  if (sandbox.record.phase === "stopped") return;
  sandbox.become({ phase: "stopped", stoppedAt: parts.now().toString() });
}

/** Takes it away with its process. */
export async function shutdownSandbox(parts: HostParts, sandboxes: HostSandboxes, sandbox: HostSandbox): Promise<void> {
  const task = sandboxes.taskOf(sandbox);
  if (task !== undefined) {
    await endInit(parts, task, 0);
    await deleteProcess(parts, task, "").catch((error: unknown) => {
      if (!isFault(error, "notFound")) throw error;
    });
  }
  sandboxes.remove(sandbox);
}

async function endInit(parts: HostParts, task: Task, timeoutSeconds: number): Promise<void> {
  if (task.init.status === "stopped") return;
  if (timeoutSeconds > 0 && signal(parts, task, sigterm, false)) {
    if (await settledWithin(task.init.exited, timeoutSeconds * 1000)) return;
  }
  if (!signal(parts, task, sigkill, true) || (await settledWithin(task.init.exited, killedMs))) return;
  throw new FaultError("deadlineExceeded", `sandbox ${quote(task.id)} was killed and has not ended`);
}

/** False when there is nobody left to take it. */
function signal(parts: HostParts, task: Task, number: number, all: boolean): boolean {
  try {
    killProcess(parts, task, "", number, all);
    return true;
  } catch (error) {
    if (isFault(error, "notFound")) return false;
    throw error;
  }
}

async function settledWithin(promise: Promise<void>, timeoutMs: number): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<boolean>();
  // Longer than a timer can wait is as good as for ever.
  const timer = setTimeout(() => resolve(false), Math.min(timeoutMs, 0x7fffffff));
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}
