import { watch } from "node:fs";
import { findContainer } from "../../client/containers/find.ts";
import { containerLabels } from "../../client/containers/labels.ts";
import { getTask, waitProcess } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Command, CommandContext } from "../command.ts";
import { logIsHere, logOf, noLog } from "../container-log.ts";
import { LogFile } from "../log-file.ts";
import { LineStamps } from "../log-stamps.ts";
import { parseMoment } from "../moment.ts";
import { writeAll } from "../output.ts";
import { parseWhole } from "../units.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Show what a container printed",
  usage: "[OPTIONS] CONTAINER",
  description:
    "Both streams in the order in which they came. A container that runs in the background writes them straight into a file, with " +
    "nobody in between; when they came is noted beside it, true to a fiftieth of a second. The newest 100 MiB are kept, " +
    "or what lighter run --log-opt max-size=SIZE says.",
  options: [
    { long: "follow", short: "f", help: "Go on until the container ends" },
    { long: "tail", short: "n", value: "N", help: "Only the last N lines" },
    { long: "timestamps", short: "t", help: "Put the time before each line" },
    { long: "since", value: "TIME", help: "Only what came since then: 10m, 1h30m, 2026-01-31T15:04:05Z, or seconds" },
    { long: "until", value: "TIME", help: "Only what came until then" },
    { long: "path", help: "Print the log file's path instead" },
  ],
  examples: [
    ["lighter logs web", "everything that is kept"],
    ["lighter logs -f -n 20 web", "the last 20 lines, and what comes"],
    ["lighter logs -t --since 10m web", "the last ten minutes, with times"],
  ],
  words: [1, 1],
  completes: "container",
  run: logs,
};

const stopped = 3;

async function logs(context: CommandContext): Promise<number> {
  const { args, output } = context;
  const now = Date.now();
  const [since, until] = ["since", "until"].map((long) => {
    const text = args.text(long);
    return text === undefined ? undefined : parseMoment(text, `--${long}`, now);
  });
  const tail = args.text("tail");
  const lines = tail === undefined || tail === "all" || tail === "-1" ? undefined : parseWhole(tail, "--tail");
  const container = await findContainer(context.client, args.positional[0] ?? "");
  const path = pathOf(context, container);
  if (args.flag("path")) {
    output.line(path);
    return 0;
  }
  using file = new LogFile(path);
  if (file.times === undefined && file.size > 0) requireNoTimes(context, container.id);
  const part = file.between(since, until);
  const view = viewOf(context, file);
  const from = lines === undefined ? part.from : file.tail(part, lines);
  const end = file.copy({ from, to: part.to }, view.take);
  if (args.flag("follow") && (until === undefined || until > now)) {
    await follow(context, container.id, { file, path, until, take: view.take, from: end });
  }
  view.flush();
  return 0;
}

interface View {
  readonly take: (bytes: Uint8Array, at: number) => void;
  readonly flush: () => void;
}

function viewOf({ args }: CommandContext, file: LogFile): View {
  const write = (bytes: Uint8Array): void => writeAll(1, bytes);
  if (!args.flag("timestamps")) return { take: write, flush: () => {} };
  const known = file.size;
  const changed = file.changedMs;
  // What comes while it is followed came now.
  const stamps = new LineStamps(
    write,
    (offset) => file.times?.timeOf(offset) ?? (offset < known ? changed : Date.now()),
  );
  return { take: (bytes, at) => stamps.take(bytes, at), flush: () => stamps.flush() };
}

function requireNoTimes({ args }: CommandContext, id: string): void {
  const asked = ["timestamps", "since", "until"].find((long) => args.has(long));
  if (asked === undefined) return;
  throw new CommandError(`--${asked}: nobody noted when the output of container "${id}" came`, {
    hint: "it was made by an older lighter, or runs under a containerd that is not ours; -n N shows the last lines",
  });
}

function pathOf(context: CommandContext, container: Container): string {
  const { id, labels } = container;
  const label = labels[containerLabels.logPath];
  if (label === undefined || label === noLog) {
    throw new CommandError(`container "${id}" keeps no log`, {
      hint:
        label === noLog
          ? "it was run with --log-driver none"
          : "another client made it; only what lighter runs has one",
    });
  }
  const log = logOf(context, container);
  if (log === undefined || !logIsHere(log)) {
    throw new CommandError(`the log of container "${id}" is not here`, {
      hint: `it was made by another user or on another machine, at ${label}`,
    });
  }
  return log.path;
}

interface Following {
  readonly file: LogFile;
  readonly path: string;
  readonly until: number | undefined;
  readonly take: (bytes: Uint8Array, at: number) => void;
  readonly from: number;
}

async function follow(
  context: CommandContext,
  id: string,
  { file, path, until, take, from }: Following,
): Promise<void> {
  let at = from;
  const failed = Promise.withResolvers<never>();
  const more = (): void => {
    try {
      const { size } = file;
      // A log that was cut short is read again from its start.
      at = file.copy({ from: size < at ? 0 : at, to: size }, take);
    } catch (error) {
      failed.reject(error as Error);
    }
  };
  const over = Promise.withResolvers<void>();
  const timer = until === undefined ? undefined : setTimeout(over.resolve, until - Date.now());
  const watcher = watch(path, more);
  try {
    more();
    const task = await getTask(context.client, id);
    if (task !== undefined && task.status !== stopped) {
      // Removed while followed is an end like any other.
      await Promise.race([waitProcess(context.client, id).catch(() => {}), over.promise, failed.promise]);
    }
    more();
  } finally {
    clearTimeout(timer);
    watcher.close();
  }
}
