import type { Client } from "../../client/client.ts";
import { findContainer } from "../../client/containers/find.ts";
import { containerLabels, setLabels } from "../../client/containers/labels.ts";
import { getTask } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import { restartLabels } from "../../lib/restart-labels.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { startProgress } from "../progress.ts";
import { isSupervised, stayStopped } from "../restart-options.ts";
import { formatBytes } from "../units.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Save a running container's state under a name",
  usage: "[OPTIONS] CONTAINER NAME",
  description:
    "Needs lighterd and criu. The container ends unless told to go on; lighter start --checkpoint NAME brings it back as it was.",
  options: [
    { long: "leave-running", help: "Let the container go on" },
    { long: "tcp", help: "Also with open TCP connections" },
    { long: "unix", help: "Also with unix sockets to outside" },
    { long: "shell", aliases: ["terminal"], help: "Also with a terminal's jobs" },
    { long: "file-locks", help: "Also with file locks" },
    { long: "empty-ns", value: "NAMESPACE", many: true, help: "Leave out what a namespace has: network" },
  ],
  examples: [
    ["lighter checkpoint create db before-upgrade", "save it and stop"],
    ["lighter checkpoint create --leave-running db nightly", "save it and let it go on"],
    ["lighter start --checkpoint before-upgrade db", "go on where it was saved"],
  ],
  words: [2, 2],
  completes: "container",
  json: true,
  run: createCheckpoint,
};

async function createCheckpoint(context: CommandContext): Promise<number> {
  const { client, args, json, output } = context;
  const [word = "", given = ""] = args.positional;
  const name = checkIdentifier(given);
  const container = await findContainer(client, word);
  const exit = !args.flag("leave-running");
  await checkState(context, container, exit);
  const wanted = {
    containerId: container.id,
    name,
    exit,
    terminal: args.flag("shell"),
    openTcp: args.flag("tcp"),
    externalUnixSockets: args.flag("unix"),
    fileLocks: args.flag("file-locks"),
    emptyNamespaces: [...args.list("empty-ns")],
  };
  const startedAt = performance.now();
  const create = (): ReturnType<typeof client.checkpoints.create> => client.checkpoints.create({ checkpoint: wanted });
  const { checkpoint } = await withClock(context, `saving ${container.id} as ${name}`, () =>
    exit ? endingWith(client, container, create) : create(),
  );
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  const size = formatBytes(Number(checkpoint?.sizeBytes ?? 0n));
  output.note(`saved ${size} in ${seconds} s; ${container.id} ${exit ? "has stopped" : "goes on"}`);
  if (json) printJson(output, checkpoint);
  else output.line(name);
  return 0;
}

/** An end that was asked for calls for no restart; where it does not come, the container is kept running as before. */
async function endingWith<T>(client: Client, { id, labels }: Container, end: () => Promise<T>): Promise<T> {
  if (!isSupervised(labels)) return end();
  await stayStopped(client, id);
  try {
    return await end();
  } catch (error) {
    const before = labels[restartLabels.explicitlyStopped] ?? "";
    await setLabels(client, id, { [restartLabels.explicitlyStopped]: before });
    throw error;
  }
}

/** What can be told before anything is stopped. */
async function checkState({ client }: CommandContext, container: Container, exit: boolean): Promise<void> {
  const { id, labels } = container;
  const task = await getTask(client, id);
  if (task?.status !== Status.RUNNING && task?.status !== Status.PAUSED) {
    throw new CommandError(`container "${id}" does not run`, { hint: `lighter start ${id} starts it` });
  }
  if (exit && labels[containerLabels.autoRemove] === "true") {
    throw new CommandError(`container "${id}" would be removed with its checkpoints as it ends (--rm)`, {
      hint: "let it go on with --leave-running",
    });
  }
}

/** Shows how long it takes on a terminal; nobody knows how much there is still to do. */
async function withClock<T>({ output }: CommandContext, title: string, work: () => Promise<T>): Promise<T> {
  using progress = startProgress(output, title, undefined, "seconds");
  const startedAt = performance.now();
  const timer = setInterval(() => progress.at(Math.floor((performance.now() - startedAt) / 1000)), 1000);
  try {
    return await work();
  } finally {
    clearInterval(timer);
  }
}
