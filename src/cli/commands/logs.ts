import { watch } from "node:fs";
import { findContainer } from "../../client/containers/find.ts";
import { containerLabels } from "../../client/containers/labels.ts";
import { getTask, waitProcess } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { targetsOf } from "../../lib/output-log/index.ts";
import type { Command, CommandContext } from "../command.ts";
import { logIsHere, logOf, noLog } from "../container-log.ts";
import { LogFile } from "../log-file.ts";
import { mergeRuns, tailRuns } from "../log-runs.ts";
import { LinePrefixes, stampOf } from "../log-stamps.ts";
import { parseMoment } from "../moment.ts";
import { writeAll } from "../output.ts";
import { parseWhole } from "../units.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Show what a container printed",
  usage: "[OPTIONS] CONTAINER",
  description:
    "Both streams in the order in which they came, on standard output; of a container that was run with --log-opt streams=apart each on " +
    "its own, lines that came in the same fiftieth of a second one stream after the other. A container that runs in the background writes them straight into a file, with " +
    "nobody in between; when they came is noted beside it, true to a fiftieth of a second. The newest 100 MiB are kept, " +
    "or what lighter run --log-opt max-size=SIZE says.",
  options: [
    { long: "follow", short: "f", help: "Go on until the container ends" },
    { long: "tail", short: "n", value: "N", help: "Only the last N lines" },
    { long: "timestamps", short: "t", help: "Put the time before each line" },
    { long: "since", value: "TIME", help: "Only what came since then: 10m, 1h30m, 2026-01-31T15:04:05Z, or seconds" },
    { long: "until", value: "TIME", help: "Only what came until then" },
    {
      long: "stream",
      value: "stdout|stderr",
      choices: ["stdout", "stderr"],
      help: "Only this one, where they are apart",
    },
    { long: "names", help: "Put the stream's name before each line, where they are apart" },
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
  using streams = openStreams(context, container, path);
  const { files } = streams;
  if (files.some((file) => file.times === undefined && file.size > 0)) requireNoTimes(context, container.id);
  const parts = files.map((file) => file.between(since, until));
  const all = mergeRuns(files, parts);
  const runs = lines === undefined ? all : tailRuns(files, all, lines);
  for (const { log, range } of runs) files[log]?.copy(range, streams.views[log]?.take ?? (() => {}));
  if (args.flag("follow") && (until === undefined || until > now)) {
    await follow(context, container.id, { streams, until, from: parts.map(({ to }) => to) });
  }
  for (const view of streams.views) view.flush();
  return 0;
}

interface View {
  readonly take: (bytes: Uint8Array, at: number) => void;
  readonly flush: () => void;
}

/** The files of a log that are to be shown, and how each is. */
interface Streams extends Disposable {
  readonly paths: readonly string[];
  readonly files: readonly LogFile[];
  readonly views: readonly View[];
}

/** Errors: CommandError (streams are asked for by name, and are not apart). */
function openStreams(context: CommandContext, container: Container, path: string): Streams {
  const { args } = context;
  const targets = targetsOf(logOf(context, container) ?? { path, maxBytes: 0 });
  // Under a shim of somebody else's both streams are in the first.
  const apart = targets.length > 1 && targets.every((target) => logIsHere(target));
  const asked = ["stream", "names"].find((long) => args.has(long));
  if (asked !== undefined && !apart) {
    throw new CommandError(`--${asked}: both streams of container "${container.id}" are in one file`, {
      hint: "lighter run --log-opt streams=apart keeps them apart, under lighterd and without a terminal",
    });
  }
  const shown = (apart ? (["stdout", "stderr"] as const) : ([undefined] as const)).map((name, n) => ({
    name,
    path: targets[n]?.path ?? path,
  }));
  const wanted = shown.filter(({ name }) => !args.has("stream") || name === args.text("stream"));
  const files = wanted.map((one) => new LogFile(one.path));
  return {
    paths: wanted.map((one) => one.path),
    files,
    views: files.map((file, n) => viewOf(context, file, wanted[n]?.name)),
    [Symbol.dispose]: () => files.forEach((file) => file[Symbol.dispose]()),
  };
}

function viewOf({ args }: CommandContext, file: LogFile, name: string | undefined): View {
  const write = (bytes: Uint8Array): void => writeAll(name === "stderr" ? 2 : 1, bytes);
  const [withTime, withName] = [args.flag("timestamps"), args.flag("names")];
  if (!withTime && !withName) return { take: write, flush: () => {} };
  const known = file.size;
  const changed = file.changedMs;
  // What comes while it is followed came now.
  const timeOf = (offset: number): number => file.times?.timeOf(offset) ?? (offset < known ? changed : Date.now());
  const prefixes = new LinePrefixes(
    write,
    (offset) => `${withTime ? stampOf(timeOf(offset)) : ""}${withName ? `${name ?? ""} ` : ""}`,
  );
  return { take: (bytes, at) => prefixes.take(bytes, at), flush: () => prefixes.flush() };
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
  readonly streams: Streams;
  readonly until: number | undefined;
  readonly from: readonly number[];
}

async function follow(context: CommandContext, id: string, { streams, until, from }: Following): Promise<void> {
  const at = [...from];
  const failed = Promise.withResolvers<never>();
  // Read once more at the end, whether it failed or not.
  failed.promise.catch(() => {});
  const more = (n: number): void => {
    const [file, view] = [streams.files[n], streams.views[n]];
    if (file === undefined || view === undefined) return;
    try {
      const { size } = file;
      const last = at[n] ?? 0;
      // A log that was cut short is read again from its start.
      at[n] = file.copy({ from: size < last ? 0 : last, to: size }, view.take);
    } catch (error) {
      failed.reject(error as Error);
    }
  };
  const over = Promise.withResolvers<void>();
  const timer = until === undefined ? undefined : setTimeout(over.resolve, until - Date.now());
  const watchers = streams.paths.map((path, n) => watch(path, () => more(n)));
  try {
    streams.paths.forEach((_path, n) => more(n));
    const task = await getTask(context.client, id);
    if (task !== undefined && task.status !== stopped) {
      // Removed while followed is an end like any other.
      await Promise.race([waitProcess(context.client, id).catch(() => {}), over.promise, failed.promise]);
    }
    streams.paths.forEach((_path, n) => more(n));
  } finally {
    clearTimeout(timer);
    for (const watcher of watchers) watcher.close();
  }
}
