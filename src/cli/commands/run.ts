import { statSync } from "node:fs";
import { containerLabels } from "../../client/containers/labels.ts";
import { newContainerId } from "../../client/names.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import type { RestartPolicy } from "../../lib/restart-labels.ts";
import type { ParsedArgs } from "../args.ts";
import type { Command, CommandContext } from "../command.ts";
import { logOptions, newLog } from "../container-log.ts";
import { dockerRunOptions } from "../docker-words.ts";
import { healthOptionLabels, healthOptions, readHealthCheck } from "../health-options.ts";
import { policyLabels, readRestartPolicy, restartOption } from "../restart-options.ts";
import { type RunPlan, runAttached, runDetached } from "../run-container.ts";
import { readSpecOptions, specOptions } from "../run-options.ts";
import { signalNumber } from "../signals.ts";
import { CommandError, identifierHint, UsageError } from "../usage-error.ts";
import { imageOptions, withImage } from "../with-image.ts";

export const command: Command = {
  summary: "Run a command in a new container",
  usage: "[OPTIONS] IMAGE [COMMAND [ARG...]]",
  description:
    "Makes a container of an image and runs a command in it, the image's own unless one is given. Without -d the container's output " +
    "comes here, and the exit code is the container's: 125 means lighter failed, 126 the command could not be run, 127 it is not there. " +
    "With -d the container runs in the background. Either way lighter logs shows what it printed.",
  options: [
    { long: "detach", short: "d", help: "Run in the background and print the container's id" },
    { long: "interactive", short: "i", help: "Pass this command's standard input on" },
    { long: "tty", short: "t", help: "Give the container a terminal" },
    { long: "rm", help: "Remove the container when it ends" },
    restartOption,
    { long: "name", value: "NAME", help: "The container's id; a random one is made otherwise" },
    ...specOptions,
    ...logOptions,
    ...healthOptions,
    { long: "label", short: "l", value: "KEY=VALUE", many: true, help: "Put a label on the container" },
    { long: "rootfs", value: "DIR", help: "Run in a folder of this machine instead of an image" },
    { long: "runtime", value: "runc|crun|PATH", help: "The OCI runtime's binary" },
    { long: "snapshotter", value: "NAME", help: "Where the container's root is kept (overlayfs)" },
    { long: "cidfile", value: "FILE", help: "Write the container's id to a file" },
    ...imageOptions,
    { long: "stop-signal", value: "SIGNAL", help: "What lighter stop sends first, in place of the image's" },
    { long: "sig-proxy", help: "Signals are passed on", hidden: true },
  ],
  examples: [
    ["lighter run --rm -it alpine sh", "a shell that leaves nothing behind"],
    ["lighter run -d --name web -m 256m --cpus 0.5 nginx", "a service in the background with limits"],
    [
      "lighter run -d --restart unless-stopped --name web nginx",
      "and started again whenever it ends, until it is stopped",
    ],
    ["lighter run --rm -v ./src:/src:ro -w /src golang go vet ./...", "a tool on files of this machine"],
  ],
  stopAtWord: true,
  foreign: dockerRunOptions,
  words: [0, Number.MAX_SAFE_INTEGER],
  completes: "image",
  run: (context) => {
    const plan = planOf(context);
    const run = context.args.flag("detach") ? runDetached : runAttached;
    return withImage(context, plan.image, () => run(context, plan));
  },
};

/** What the command line says. Errors: UsageError, CommandError. */
export function planOf(context: CommandContext): RunPlan {
  const { args } = context;
  const rootfs = args.text("rootfs");
  const [first, ...rest] = args.positional;
  if (rootfs === undefined && first === undefined)
    throw new UsageError("run needs an image: lighter run IMAGE [COMMAND...]");
  const command = rootfs === undefined ? rest : args.positional;
  const id = idOf(args.text("name"));
  const log = newLog(context, id);
  const restart = restartOf(args);
  return {
    id,
    image: rootfs === undefined ? first : undefined,
    rootfs: rootfs === undefined ? undefined : folderPath(rootfs),
    user: args.text("user"),
    spec: readSpecOptions(args, context.env, command),
    interactive: args.flag("interactive"),
    terminal: args.flag("tty"),
    remove: args.flag("rm"),
    restart,
    log,
    labels: {
      ...labels(args.list("label")),
      ...stopSignalLabel(args.text("stop-signal")),
      ...(restart === undefined ? {} : policyLabels(restart, log)),
      ...healthOptionLabels(args),
    },
    health: readHealthCheck(args),
    runtimeBinary: args.text("runtime"),
    snapshotter: args.text("snapshotter"),
    cidFile: args.text("cidfile"),
  };
}

/** Errors: UsageError. */
function restartOf(args: ParsedArgs): RestartPolicy | undefined {
  const policy = readRestartPolicy(args);
  if (policy === undefined || policy.name === "no") return undefined;
  if (args.flag("rm")) throw new UsageError("--restart and --rm can't both be: what is removed is not started again");
  return policy;
}

function idOf(name: string | undefined): string {
  if (name === undefined) return newContainerId();
  try {
    return checkIdentifier(name);
  } catch {
    throw new UsageError(`option --name: ${JSON.stringify(name)} is malformed`, identifierHint);
  }
}

function stopSignalLabel(name: string | undefined): Record<string, string> {
  if (name === undefined) return {};
  if (signalNumber(name) === undefined)
    throw new UsageError(`option --stop-signal: ${JSON.stringify(name)} is no signal`);
  return { [containerLabels.stopSignal]: name };
}

function folderPath(given: string): string {
  const path = given.startsWith("/") ? given : `${process.cwd()}/${given}`;
  const stat = statSync(path, { throwIfNoEntry: false });
  if (stat?.isDirectory() === true) return path;
  throw new CommandError(`option --rootfs: ${path} is ${stat === undefined ? "not there" : "no folder"}`, {
    hint: "it takes a folder that holds a container's root, with /bin and so on",
    exitCode: 125,
  });
}

function labels(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      return at < 0 ? [word, ""] : [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}
