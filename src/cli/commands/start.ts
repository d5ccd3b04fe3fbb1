import { findContainer } from "../../client/containers/find.ts";
import { containerLabels } from "../../client/containers/labels.ts";
import { createTask, deleteTask, getTask, retireTask } from "../../client/containers/tasks.ts";
import { fifoFolder } from "../../client/paths.ts";
import { makeFifos } from "../../client/stdio/fifo-set.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Descriptor } from "../../gen/containerd/types/descriptor_pb.ts";
import type { Mount } from "../../gen/containerd/types/mount_pb.ts";
import { type LogTarget, logAddress } from "../../lib/output-log/index.ts";
import { createKernel } from "../../sys/index.ts";
import type { Command, CommandContext } from "../command.ts";
import { logLabels, logOf, newLog, noLog, openTee } from "../container-log.ts";
import { forEach } from "../each.ts";
import { keepReading } from "../later.ts";
import { claimOutput } from "../output-reader.ts";
import { ownTerminal } from "../own-terminal.ts";
import { isSupervised, keepRunning } from "../restart-options.ts";
import { runSession } from "../session.ts";
import { catchSignals } from "../signals.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Start a stopped container again, or from a checkpoint",
  usage: "[OPTIONS] CONTAINER...",
  options: [
    { long: "attach", short: "a", help: "Connect its output and wait for its end" },
    { long: "interactive", short: "i", help: "Pass this command's standard input on, too" },
    { long: "checkpoint", value: "NAME", help: "Go on from a checkpoint (lighterd only)" },
  ],
  examples: [
    ["lighter start web", "run it again in the background"],
    ["lighter start -ai job", "run it again here"],
    ["lighter start --checkpoint before-upgrade db", "go on where a checkpoint was made"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) => {
    const { args, client, output } = context;
    const attach = args.flag("attach") || args.flag("interactive");
    if (attach && args.positional.length > 1) throw new UsageError("start -a takes one container");
    if (attach) return startAttached(context, args.positional[0] ?? "");
    return forEach(context, args.positional, "start", async (word) => {
      const container = await findContainer(client, word);
      await startDetached(context, container);
      output.line(word);
    });
  },
};

const stopped = 3;

interface Prepared {
  readonly mounts: readonly Mount[];
  readonly checkpoint: Descriptor | undefined;
  readonly terminal: boolean;
}

/** Clears the old task away and finds what the new one needs. */
async function prepare(context: CommandContext, container: Container): Promise<Prepared> {
  const { client, args } = context;
  const { id, snapshotter, snapshotKey } = container;
  const task = await getTask(client, id);
  if (task !== undefined && task.status !== stopped) {
    throw new CommandError(`container "${id}" runs already`, { hint: `lighter attach ${id} connects to it` });
  }
  if (task !== undefined) await deleteTask(client, id);
  const name = args.text("checkpoint");
  const checkpoint =
    name === undefined ? undefined : (await client.checkpoints.get({ containerId: id, name })).checkpoint?.target;
  const mounts = snapshotKey === "" ? [] : (await client.snapshots.mounts({ snapshotter, key: snapshotKey })).mounts;
  return { mounts, checkpoint, terminal: container.labels[containerLabels.terminal] === "true" };
}

/** Starts a container that does not run, in the background. Errors: CommandError when it does. */
export async function startDetached(context: CommandContext, container: Container): Promise<void> {
  const { client } = context;
  const { mounts, checkpoint, terminal } = await prepare(context, container);
  const { id } = container;
  const log = await keepLog(context, container);
  const uri = log === undefined ? "" : logAddress(log);
  const stdio = { stdin: "", stdout: uri, stderr: terminal ? "" : uri };
  await launch(context, id, createTask(client, { id, mounts, stdio, terminal, checkpoint }));
  if (isSupervised(container.labels)) await keepRunning(client, id);
}

/** The container's log, a new one where it has none yet; undefined where it shall have none. */
async function keepLog(context: CommandContext, container: Container): Promise<LogTarget | undefined> {
  const found = logOf(context, container);
  if (found !== undefined || container.labels[containerLabels.logPath] === noLog) return found;
  const log = newLog(context, container.id);
  const labels = logLabels(log);
  await context.client.containers.update({
    container: { id: container.id, labels },
    updateMask: { paths: Object.keys(labels).map((label) => `labels.${label}`) },
  });
  return log;
}

async function startAttached(context: CommandContext, word: string): Promise<number> {
  const { client, env, args } = context;
  const container = await findContainer(client, word);
  const { id } = container;
  const { mounts, checkpoint, terminal } = await prepare(context, container);
  const interactive = args.flag("interactive");
  using signals = catchSignals();
  const kernel = createKernel();
  const own = terminal ? await ownTerminal(kernel, interactive) : undefined;
  try {
    using fifos = makeFifos({ kernel, root: fifoFolder(env), stdin: interactive || terminal, terminal });
    const started = await launch(
      context,
      id,
      createTask(client, { id, mounts, stdio: fifos.paths, terminal, checkpoint }),
    );
    fifos.release();
    const restarts = isSupervised(container.labels);
    if (restarts) await keepRunning(client, id);
    using tee = openTee(context, kernel, await keepLog(context, container));
    claimOutput(context, fifos.folder);
    const end = await runSession({
      client,
      kernel,
      id,
      execId: "",
      fifos,
      interactive,
      terminal: own,
      tee,
      signals,
      exit: started.exit,
    });
    if (end === "detached") {
      fifos.keep();
      keepReading(context, id, fifos.folder);
      return 0;
    }
    // Of one that is started again the daemon judges the end.
    if (!restarts) await retireTask(client, id, end);
    return end.status;
  } finally {
    own?.restore();
  }
}

type Pending = ReturnType<typeof createTask>;

async function launch(context: CommandContext, id: string, creating: Pending): ReturnType<Awaited<Pending>["start"]> {
  const pending = await creating;
  try {
    return await pending.start();
  } catch (error) {
    await deleteTask(context.client, id).catch(() => {
      // The start's failure is the one to tell.
    });
    throw error;
  }
}
