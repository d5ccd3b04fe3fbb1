import { existsSync, rmSync } from "node:fs";
import { containerLabels } from "../client/containers/labels.ts";
import { randomHex } from "../client/names.ts";
import { dataFolder, newLogPath } from "../client/paths.ts";
import { type OutputSink, OutputTee } from "../client/stdio/output-tee.ts";
import type { Container } from "../gen/containerd/services/containers/v1/containers_pb.ts";
import { type LogTarget, targetsOf, timesPathOf } from "../lib/output-log/index.ts";
import { isErrno, type Kernel } from "../sys/index.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import type { CommandContext } from "./command.ts";
import { parseSize, parseWhole } from "./units.ts";
import { UsageError } from "./usage-error.ts";

/** How much of a container's output is kept unless it is said otherwise; as docker's own log driver keeps. */
export const defaultLogBytes: number = 100 * 1024 ** 2;

/** Stands for a path where no log is wanted. */
export const noLog = "none";
const streamsApart = "apart";

/** Options of `run` that shape its log, in docker's words. */
export const logOptions: readonly OptionSpec[] = [
  {
    long: "log-driver",
    value: "file|none",
    choices: ["file", "none", "json-file", "local"],
    help: "Where the output is kept: a file (the default), or nowhere",
  },
  {
    long: "log-opt",
    value: "KEY=VALUE",
    many: true,
    help: "max-size=SIZE (100m) times max-file=N (1) is how much is kept; streams=apart tells stdout from stderr",
  },
];

/** The log that `run` was asked for; undefined for none. Errors: UsageError. */
export function newLog(context: CommandContext, id: string): LogTarget | undefined {
  const { args, env, namespace } = context;
  const { maxBytes, apart } = shapeOf(args);
  if (args.text("log-driver") === "none") return undefined;
  // A terminal has one output for both.
  return { path: newLogPath(env, namespace, id, randomHex(8)), maxBytes, apart: apart && !args.flag("tty") };
}

function shapeOf(args: ParsedArgs): { readonly maxBytes: number; readonly apart: boolean } {
  let [size, files, apart] = [defaultLogBytes, 1, false];
  for (const word of args.list("log-opt")) {
    const [key = "", value = ""] = word.split("=", 2);
    if (key === "max-size") size = value === "-1" ? 0 : parseSize(value, "--log-opt max-size");
    else if (key === "max-file") files = parseWhole(value, "--log-opt max-file", 1);
    else if (key === "streams" && ["apart", "together"].includes(value)) apart = value === "apart";
    else {
      const hint = "max-size=10m and max-file=3 bound the log, streams=apart tells stdout from stderr";
      throw new UsageError(`option --log-opt: ${JSON.stringify(word)} is not known`, hint);
    }
  }
  return { maxBytes: size * files, apart };
}

/** What a container's labels must say so that its log is found again, or that none is wanted. */
export function logLabels(log: LogTarget | undefined): Record<string, string> {
  if (log === undefined) return { [containerLabels.logPath]: noLog };
  const bound = log.maxBytes === defaultLogBytes ? {} : { [containerLabels.logBound]: String(log.maxBytes) };
  const streams = log.apart === true ? { [containerLabels.logStreams]: streamsApart } : {};
  return { [containerLabels.logPath]: log.path, ...bound, ...streams };
}

/**
 * Where a container's log is; undefined when it has none that is ours.
 * Shape: a label is anybody's to write: only a file in our own folder of logs is read or removed.
 */
export function logOf(
  context: Pick<CommandContext, "env">,
  { labels }: Pick<Container, "labels">,
): LogTarget | undefined {
  const path = labels[containerLabels.logPath];
  if (path === undefined || path.includes("/../") || !path.startsWith(`${dataFolder(context.env)}/logs/`))
    return undefined;
  const bound = Number(labels[containerLabels.logBound] ?? defaultLogBytes);
  const maxBytes = Number.isSafeInteger(bound) && bound >= 0 ? bound : defaultLogBytes;
  return { path, maxBytes, apart: labels[containerLabels.logStreams] === streamsApart };
}

/** Keeps the output of an attached container in its log. Effects: a log that cannot be kept is told once, on standard error. */
export function openTee(context: CommandContext, kernel: Kernel, log: LogTarget | undefined): OutputSink | undefined {
  if (log === undefined) return undefined;
  const onFailure = (error: Error): void => {
    // Removed with its container, by somebody else.
    if (isErrno(error, "ENOENT")) return;
    context.output.note(`lighter: the log is not kept any more: ${error.message}`);
  };
  const [out, err] = targetsOf(log).map((target) => new OutputTee({ kernel, target, onFailure }));
  return {
    append: (bytes, stream) => (stream === "stderr" ? (err ?? out) : out)?.append(bytes),
    [Symbol.dispose]: () => {
      out?.[Symbol.dispose]();
      err?.[Symbol.dispose]();
    },
  };
}

/** Removes a log and its times; what is not there is no failure. */
export function removeLog(log: LogTarget | undefined): void {
  if (log === undefined) return;
  for (const { path } of targetsOf(log)) {
    for (const file of [path, timesPathOf(path), `${timesPathOf(path)}.new`]) rmSync(file, { force: true });
  }
}

/** False for a log of another user or machine. */
export function logIsHere(log: LogTarget): boolean {
  return existsSync(log.path);
}
