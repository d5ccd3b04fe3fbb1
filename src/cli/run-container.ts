import { rmSync, writeFileSync } from "node:fs";
import type { Client } from "../client/client.ts";
import { type CreatedContainer, createContainer } from "../client/containers/create.ts";
import { containerLabels } from "../client/containers/labels.ts";
import { createTask, deleteTask, type ExitRecord, removeContainer, retireTask } from "../client/containers/tasks.ts";
import { randomHex } from "../client/names.ts";
import { fifoFolder, newLogPath } from "../client/paths.ts";
import type { SpecOptions } from "../client/spec/container-spec.ts";
import { makeFifos } from "../client/stdio/fifo-set.ts";
import { createKernel } from "../sys/index.ts";
import type { CommandContext } from "./command.ts";
import { ownTerminal } from "./own-terminal.ts";
import { runSession } from "./session.ts";
import { catchSignals } from "./signals.ts";
import { CommandError } from "./usage-error.ts";

/** What `run` was asked for. */
export interface RunPlan {
  readonly id: string;
  readonly image: string | undefined;
  readonly rootfs: string | undefined;
  readonly user: string | undefined;
  readonly spec: SpecOptions;
  readonly interactive: boolean;
  readonly terminal: boolean;
  readonly remove: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly runtimeBinary: string | undefined;
  readonly snapshotter: string | undefined;
  readonly cidFile: string | undefined;
}

const interruptedStatus = 130;

/**
 * Runs a container with this command's stdio and answers its exit code.
 * Effects: a container that could not be started is removed again, so that its name is free; with `remove` so is one
 * that ended. After the detach keys it goes on without us.
 */
export async function runAttached(context: CommandContext, plan: RunPlan): Promise<number> {
  const { client } = context;
  using signals = catchSignals();
  const kernel = createKernel();
  const own = plan.terminal ? await ownTerminal(kernel, plan.interactive) : undefined;
  try {
    const creating = create(context, plan, plan.labels);
    // Failures before its await below must not count as unhandled.
    creating.catch(() => {});
    using fifos = makeFifos({
      kernel,
      root: fifoFolder(context.env),
      stdin: plan.interactive || plan.terminal,
      terminal: plan.terminal,
    });
    const created = await creating;
    if (signals.interrupted) {
      await discard(client, created);
      return interruptedStatus;
    }
    const started = await start(context, plan, created, { ...fifos.paths }, () => fifos.release());
    const end = await runSession({
      client,
      kernel,
      id: plan.id,
      execId: "",
      fifos,
      interactive: plan.interactive,
      terminal: own,
      signals,
      exit: started.exit,
    });
    await created.settled;
    if (end === "detached") return await leaveRunning(context, plan, () => fifos.keep());
    await finish(client, created, plan, end);
    return end.status;
  } finally {
    own?.restore();
  }
}

/** Runs a container in the background; its output goes to a file. Answers 0 once it is started. */
export async function runDetached(context: CommandContext, plan: RunPlan): Promise<number> {
  const path = newLogPath(context.env, context.namespace, plan.id, randomHex(8));
  const created = await create(context, plan, {
    ...plan.labels,
    [containerLabels.logPath]: path,
    ...(plan.remove ? { [containerLabels.autoRemove]: "true" } : {}),
  });
  const uri = `file://${path}`;
  await start(context, plan, created, { stdin: "", stdout: uri, stderr: plan.terminal ? "" : uri }, () => {});
  await created.settled;
  context.output.line(plan.id);
  if (plan.remove) (await import("./remove-later.ts")).removeLater(context, plan.id);
  return 0;
}

function create(
  context: CommandContext,
  plan: RunPlan,
  labels: Readonly<Record<string, string>>,
): Promise<CreatedContainer> {
  let told = false;
  return createContainer(context.client, {
    id: plan.id,
    image: plan.image,
    rootfs: plan.rootfs,
    spec: plan.spec,
    user: plan.user,
    labels,
    runtimeBinary: plan.runtimeBinary,
    snapshotter: plan.snapshotter,
    onUnpack: (layer, layers) => {
      if (!told && context.output.errorTerminal) context.output.note(`unpacking ${plan.image} (${layers} layers)`);
      told = layer >= 0;
    },
  });
}

interface Stdio {
  readonly stdin: string;
  readonly stdout: string;
  readonly stderr: string;
}

async function start(
  context: CommandContext,
  plan: RunPlan,
  created: CreatedContainer,
  stdio: Stdio,
  release: () => void,
): Promise<{ readonly exit: Promise<ExitRecord> }> {
  const { client } = context;
  try {
    if (plan.cidFile !== undefined) writeCidFile(plan.cidFile, plan.id);
    const pending = await createTask(client, { id: plan.id, mounts: created.mounts, stdio, terminal: plan.terminal });
    const started = await pending.start();
    release();
    return started;
  } catch (error) {
    await discard(client, created, stdio.stdout.startsWith("file://") ? stdio.stdout.slice(7) : undefined);
    throw error;
  }
}

function writeCidFile(path: string, id: string): void {
  try {
    writeFileSync(path, id, { flag: "wx" });
  } catch (error) {
    throw new CommandError(`write ${path}: ${(error as Error).message}`, { exitCode: 125, cause: error });
  }
}

/** Takes back what was made of a container that did not come to run. */
async function discard(client: Client, created: CreatedContainer, logPath?: string): Promise<void> {
  await created.settled;
  await deleteTask(client, created.id).catch(() => {
    // The failure that brought us here is the one to tell.
  });
  await removeContainer(client, created);
  if (logPath !== undefined) rmSync(logPath, { force: true });
}

async function finish(client: Client, created: CreatedContainer, plan: RunPlan, end: ExitRecord): Promise<void> {
  if (!plan.remove) return retireTask(client, plan.id, end);
  await deleteTask(client, plan.id);
  await removeContainer(client, created);
}

async function leaveRunning(context: CommandContext, plan: RunPlan, keep: () => void): Promise<number> {
  keep();
  context.output.note(`\r\ndetached; lighter attach ${plan.id} comes back`);
  if (plan.remove) (await import("./remove-later.ts")).removeLater(context, plan.id);
  return 0;
}
