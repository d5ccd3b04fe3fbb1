import { writeFileSync } from "node:fs";
import type { Client } from "../client/client.ts";
import { type CreatedContainer, createContainer } from "../client/containers/create.ts";
import { containerLabels } from "../client/containers/labels.ts";
import { createTask, deleteTask, type ExitRecord, removeContainer, retireTask } from "../client/containers/tasks.ts";
import { fifoFolder } from "../client/paths.ts";
import type { SpecOptions } from "../client/spec/container-spec.ts";
import { type FifoSet, makeFifos } from "../client/stdio/fifo-set.ts";
import type { HealthDocument } from "../lib/health-labels.ts";
import { type LogTarget, logAddress } from "../lib/output-log/index.ts";
import { formatRestartPolicy, type RestartPolicy } from "../lib/restart-labels.ts";
import { createKernel, isErrno } from "../sys/index.ts";
import type { CommandContext } from "./command.ts";
import { logLabels, openTee, removeLog } from "./container-log.ts";
import { keepReading, removeLater } from "./later.ts";
import { claimOutput } from "./output-reader.ts";
import { ownTerminal } from "./own-terminal.ts";
import { keepRunning } from "./restart-options.ts";
import { runSession } from "./session.ts";
import { catchSignals } from "./signals.ts";
import { unpackProgress } from "./unpack-progress.ts";
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
  /** Undefined when nobody starts it again. */
  readonly restart: RestartPolicy | undefined;
  /** Undefined when nothing is kept. */
  readonly log: LogTarget | undefined;
  readonly labels: Readonly<Record<string, string>>;
  /** What the command line says of its health check; undefined for nothing. */
  readonly health: HealthDocument | undefined;
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
    const spec = own === undefined ? plan.spec : { ...plan.spec, consoleSize: own.size() };
    const creating = create(context, { ...plan, spec }, { ...plan.labels, ...logLabels(plan.log) });
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
      await discard(client, created, plan.log);
      return interruptedStatus;
    }
    const starting = start(context, plan, created, { ...fifos.paths }, () => fifos.release());
    // Nobody hears of its failure before the await below; files are made while the daemon is at work.
    starting.catch(() => {});
    using tee = openTee(context, kernel, plan.log);
    claimOutput(context, fifos.folder);
    const started = await starting;
    const end = await runSession({
      client,
      kernel,
      id: plan.id,
      execId: "",
      fifos,
      interactive: plan.interactive,
      terminal: own,
      tee,
      signals,
      exit: started.exit,
    });
    await created.settled;
    if (end === "detached") return leaveRunning(context, plan, fifos);
    await finish(context, created, plan, end);
    return end.status;
  } finally {
    own?.restore();
  }
}

/** Runs a container in the background; its output goes to its log. Answers 0 once it is started. */
export async function runDetached(context: CommandContext, plan: RunPlan): Promise<number> {
  const created = await create(context, plan, {
    ...plan.labels,
    ...logLabels(plan.log),
    ...(plan.remove ? { [containerLabels.autoRemove]: "true" } : {}),
  });
  if (plan.interactive) await startForLater(context, plan, created);
  else {
    const uri = plan.log === undefined ? "" : logAddress(plan.log);
    await start(context, plan, created, { stdin: "", stdout: uri, stderr: plan.terminal ? "" : uri }, () => {});
  }
  await created.settled;
  context.output.line(plan.id);
  if (plan.remove) removeLater(context, plan.id);
  return 0;
}

/** Makes a container for a later start, and prints its id. */
export async function createStopped(context: CommandContext, plan: RunPlan): Promise<number> {
  const created = await create(context, plan, { ...plan.labels, ...logLabels(plan.log) });
  try {
    if (plan.cidFile !== undefined) writeCidFile(plan.cidFile, plan.id);
  } catch (error) {
    await discard(context.client, created, plan.log);
    throw error;
  }
  await created.settled;
  context.output.line(plan.id);
  return 0;
}

/** Starts a container whose input stays open for whoever attaches; until then its output is read for its log. */
async function startForLater(context: CommandContext, plan: RunPlan, created: CreatedContainer): Promise<void> {
  const { terminal } = plan;
  using fifos = makeFifos({ kernel: createKernel(), root: fifoFolder(context.env), stdin: true, terminal });
  await start(context, plan, created, { ...fifos.paths }, () => fifos.release());
  fifos.keep();
  keepReading(context, plan.id, fifos.folder);
}

async function create(
  context: CommandContext,
  plan: RunPlan,
  labels: Readonly<Record<string, string>>,
): Promise<CreatedContainer> {
  using progress = unpackProgress(context.output, plan.image ?? "");
  return await createContainer(context.client, {
    id: plan.id,
    image: plan.image,
    rootfs: plan.rootfs,
    spec: plan.spec,
    user: plan.user,
    labels,
    health: plan.health,
    runtimeBinary: plan.runtimeBinary,
    snapshotter: plan.snapshotter,
    onUnpack: progress.onProgress,
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
  let started: { readonly exit: Promise<ExitRecord> };
  try {
    if (plan.cidFile !== undefined) writeCidFile(plan.cidFile, plan.id);
    const pending = await createTask(client, { id: plan.id, mounts: created.mounts, stdio, terminal: plan.terminal });
    started = await pending.start();
    release();
  } catch (error) {
    await discard(client, created, plan.log);
    throw error;
  }
  // It runs, and goes on doing so if this fails.
  if (plan.restart !== undefined) await keepRunning(client, plan.id);
  return started;
}

function writeCidFile(path: string, id: string): void {
  try {
    writeFileSync(path, id, { flag: "wx" });
  } catch (error) {
    const isThere = isErrno(error, "EEXIST");
    throw new CommandError(`write ${path}: ${isThere ? "it is there already" : (error as Error).message}`, {
      hint: isThere ? "remove it, or name another --cidfile" : undefined,
      exitCode: 125,
      cause: error,
    });
  }
}

/** Takes back what was made of a container that did not come to run. */
async function discard(client: Client, created: CreatedContainer, log: LogTarget | undefined): Promise<void> {
  await created.settled;
  await deleteTask(client, created.id).catch(() => {
    // The failure that brought us here is the one to tell.
  });
  await removeContainer(client, created);
  removeLog(log);
}

async function finish(
  context: CommandContext,
  created: CreatedContainer,
  plan: RunPlan,
  end: ExitRecord,
): Promise<void> {
  const { client, output } = context;
  // The end is the daemon's to judge, and the task stays until it has.
  if (plan.restart !== undefined) {
    output.note(
      `lighter: ${plan.id} is started again in the background (${formatRestartPolicy(plan.restart)}); lighter stop ${plan.id} ends it`,
    );
    return;
  }
  if (!plan.remove) return retireTask(client, plan.id, end);
  await deleteTask(client, plan.id);
  await removeContainer(client, created);
  removeLog(plan.log);
}

function leaveRunning(context: CommandContext, plan: RunPlan, fifos: Pick<FifoSet, "folder" | "keep">): number {
  fifos.keep();
  context.output.note(`\r\ndetached; lighter attach ${plan.id} comes back`);
  keepReading(context, plan.id, fifos.folder);
  if (plan.remove) removeLater(context, plan.id);
  return 0;
}
