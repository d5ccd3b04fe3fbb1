import { closeSync, existsSync, fstatSync, openSync, readSync, watch } from "node:fs";
import { findContainer } from "../../client/containers/find.ts";
import { containerLabels } from "../../client/containers/labels.ts";
import { getTask, waitProcess } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Command, CommandContext } from "../command.ts";
import { logPathOf } from "../destroy-container.ts";
import { writeAll } from "../output.ts";
import { parseWhole } from "../units.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Show what a detached container printed",
  usage: "[OPTIONS] CONTAINER",
  description:
    "The container writes its output, both streams in the order in which they came, straight into a file, with nobody in between: " +
    "that is why the log knows no times, and why -t can only stamp what comes while it is followed.",
  options: [
    { long: "follow", short: "f", help: "Go on until the container ends" },
    { long: "tail", short: "n", value: "N", help: "Only the last N lines" },
    { long: "timestamps", short: "t", help: "With -f: put the time before each new line" },
    { long: "path", help: "Print the log file's path instead" },
    { long: "since", value: "TIME", help: "Not possible: the log keeps no times", hidden: true },
  ],
  examples: [
    ["lighter logs web", "everything so far"],
    ["lighter logs -f -n 20 web", "the last 20 lines, and what comes"],
  ],
  words: [1, 1],
  completes: "container",
  run: logs,
};

const chunkBytes = 256 * 1024;
const stopped = 3;

async function logs(context: CommandContext): Promise<number> {
  const { args, output } = context;
  const follow = args.flag("follow");
  if (args.has("since"))
    throw new CommandError("the log keeps no times, so --since cannot work", { hint: "use --tail N" });
  if (args.flag("timestamps") && !follow) {
    throw new CommandError("the log keeps no times", { hint: "-t works with -f, for what comes from now on" });
  }
  const container = await findContainer(context.client, args.positional[0] ?? "");
  const path = pathOf(context, container);
  if (args.flag("path")) {
    output.line(path);
    return 0;
  }
  const fd = openSync(path, "r");
  try {
    const tail = args.text("tail");
    const start = tail === undefined || tail === "all" ? 0 : tailStart(fd, parseWhole(tail, "--tail"));
    const end = copy(fd, start, (bytes) => writeAll(1, bytes));
    if (follow) await followFrom(context, container.id, fd, path, end);
  } finally {
    closeSync(fd);
  }
  return 0;
}

function pathOf(context: CommandContext, container: Container): string {
  const { id, labels } = container;
  if (labels[containerLabels.logPath] === undefined) {
    throw new CommandError(`container "${id}" keeps no log`, {
      hint: "only what lighter run -d or lighter start runs does; an attached one's output went to its terminal",
    });
  }
  const path = logPathOf(context, container);
  if (path === undefined || !existsSync(path)) {
    throw new CommandError(`the log of container "${id}" is not here`, {
      hint: `it was made by another user or on another machine, at ${labels[containerLabels.logPath]}`,
    });
  }
  return path;
}

/** Copies from an offset to the end and answers where that is. */
function copy(fd: number, from: number, write: (bytes: Uint8Array) => void): number {
  const buffer = new Uint8Array(chunkBytes);
  let at = from;
  for (;;) {
    const count = readSync(fd, buffer, 0, buffer.length, at);
    if (count === 0) return at;
    write(buffer.subarray(0, count));
    at += count;
  }
}

/** Where the last `lines` lines begin, found from the end backwards. */
function tailStart(fd: number, lines: number): number {
  const { size } = fstatSync(fd);
  if (lines === 0) return size;
  const buffer = new Uint8Array(chunkBytes);
  let wanted = lines;
  for (let end = size; end > 0; ) {
    const start = Math.max(0, end - buffer.length);
    const count = readSync(fd, buffer, 0, end - start, start);
    for (let i = count - 1; i >= 0; i--) {
      if (buffer[i] !== 0x0a || start + i === size - 1) continue;
      wanted -= 1;
      if (wanted === 0) return start + i + 1;
    }
    end = start;
  }
  return 0;
}

async function followFrom(context: CommandContext, id: string, fd: number, path: string, from: number): Promise<void> {
  const write = context.args.flag("timestamps") ? stamped() : (bytes: Uint8Array) => writeAll(1, bytes);
  let at = from;
  const failed = Promise.withResolvers<never>();
  const more = (): void => {
    try {
      // A log that was cut short is read again from its start.
      if (fstatSync(fd).size < at) at = 0;
      at = copy(fd, at, write);
    } catch (error) {
      failed.reject(error as Error);
    }
  };
  const watcher = watch(path, more);
  try {
    more();
    const task = await getTask(context.client, id);
    if (task !== undefined && task.status !== stopped) {
      // Removed while followed is an end like any other.
      await Promise.race([waitProcess(context.client, id).catch(() => {}), failed.promise]);
    }
    more();
  } finally {
    watcher.close();
  }
}

/** Puts the time before each line. */
function stamped(): (bytes: Uint8Array) => void {
  let rest = "";
  const decoder = new TextDecoder();
  return (bytes) => {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) writeAll(1, `${new Date().toISOString()} ${line}\n`);
  };
}
