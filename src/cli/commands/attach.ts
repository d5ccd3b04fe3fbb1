import { dirname } from "node:path";
import { findContainer } from "../../client/containers/find.ts";
import { getTask, retireTask, waitProcess } from "../../client/containers/tasks.ts";
import { openFifos } from "../../client/stdio/fifo-set.ts";
import { createKernel } from "../../sys/index.ts";
import type { Command, CommandContext } from "../command.ts";
import { logOf, openTee } from "../container-log.ts";
import { keepReading } from "../later.ts";
import { isTerminalFd } from "../output.ts";
import { claimOutput, takeOutput } from "../output-reader.ts";
import { ownTerminal } from "../own-terminal.ts";
import { readForLog } from "../read-for-log.ts";
import { runSession } from "../session.ts";
import { catchSignals } from "../signals.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Connect this terminal to a running container",
  usage: "CONTAINER",
  description:
    "For a container that was run attached and left with ctrl-p ctrl-q. One that was run with -d writes to its log: lighter logs -f shows that.",
  options: [
    {
      long: "to-log",
      help: "Show nothing: read on for the log until somebody attaches; what ctrl-p ctrl-q leaves behind",
      hidden: true,
    },
  ],
  examples: [["lighter attach box", "back to where ctrl-p ctrl-q left it"]],
  words: [1, 1],
  completes: "container",
  run: attach,
};

const [running, paused] = [2, 4];

async function attach(context: CommandContext): Promise<number> {
  const { client } = context;
  const container = await findContainer(client, context.args.positional[0] ?? "");
  const { id } = container;
  const task = await getTask(client, id);
  if (task === undefined || (task.status !== running && task.status !== paused)) {
    throw new CommandError(`container "${id}" is not running`, {
      hint: `lighter start -a ${id} runs it again`,
      exitCode: 125,
    });
  }
  if (!task.stdout.startsWith("/")) {
    throw new CommandError(`container "${id}" runs detached`, {
      hint: `lighter logs -f ${id} follows its output`,
      exitCode: 125,
    });
  }
  await takeOutput(dirname(task.stdout), id);
  const paths = { stdin: task.stdin, stdout: task.stdout, stderr: task.terminal ? "" : task.stderr };
  if (context.args.flag("to-log")) return readForLog(context, container, paths);
  using signals = catchSignals();
  const kernel = createKernel();
  const interactive = task.stdin !== "";
  const own = task.terminal ? await ownTerminal(kernel, interactive && isTerminalFd(0)) : undefined;
  try {
    claimOutput(context, dirname(paths.stdout));
    using fifos = openFifos(paths, { folder: "", hold: false });
    using tee = openTee(context, kernel, logOf(context, container));
    const exit = waitProcess(client, id);
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
      exit,
    });
    if (end === "detached") {
      keepReading(context, id, dirname(paths.stdout));
      return 0;
    }
    await retireTask(client, id, end);
    return end.status;
  } finally {
    own?.restore();
  }
}
