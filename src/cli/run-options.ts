import { existsSync } from "node:fs";
import type { SpecOptions } from "../client/spec/container-spec.ts";
import { mountFlag, volumeMount } from "../client/spec/mount-flags.ts";
import type { MountEntry } from "../client/spec/runtime-spec.ts";
import { messageOf } from "../lib/faults.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import { readEnvFile } from "./env-file.ts";
import { machineOptions, readMachineOptions } from "./machine-options.ts";
import { parsePositive, parseSize, parseWhole } from "./units.ts";
import { CommandError, UsageError } from "./usage-error.ts";

/** Options of `run` that shape the container itself. */
export const specOptions: readonly OptionSpec[] = [
  {
    long: "env",
    short: "e",
    value: "NAME=VALUE",
    many: true,
    help: "Set a variable; NAME alone passes this shell's value on",
  },
  { long: "env-file", value: "FILE", many: true, help: "Read variables from a file, one a line" },
  {
    long: "volume",
    short: "v",
    value: "SRC:DST[:ro]",
    many: true,
    help: "Make a path of this machine visible in the container",
  },
  { long: "mount", value: "type=bind|tmpfs,src=,dst=", many: true, help: "The same in long form; also tmpfs" },
  { long: "tmpfs", value: "PATH[:OPTIONS]", many: true, help: "Mount an empty tmpfs" },
  { long: "workdir", short: "w", value: "PATH", aliases: ["cwd"], help: "Working directory" },
  { long: "user", short: "u", value: "USER[:GROUP]", help: "Run as this user, by name or number" },
  { long: "cpus", value: "N", help: "At most this many CPUs, e.g. 1.5" },
  { long: "memory", short: "m", value: "SIZE", help: "At most this much memory, e.g. 512m" },
  { long: "pids-limit", value: "N", help: "At most this many processes" },
  { long: "read-only", help: "Make the container's root read-only" },
  {
    long: "net",
    value: "none|host",
    aliases: ["network"],
    choices: ["none", "host"],
    hint: "lighter makes no networks: host shares this machine's, and none is the default",
    help: "Network: none (the default) or this machine's",
  },
  { long: "hostname", short: "h", value: "NAME", help: "The container's host name" },
  { long: "privileged", help: "Give all capabilities and devices; only for what you trust" },
  { long: "cap-add", value: "CAP", many: true, help: "Add a capability, e.g. NET_ADMIN, or ALL" },
  { long: "cap-drop", value: "CAP", many: true, help: "Drop a capability, or ALL" },
  { long: "entrypoint", value: "COMMAND", help: "In place of the image's entrypoint" },
  ...machineOptions,
];

/** What the command line says about the container. Errors: UsageError. */
export function readSpecOptions(
  args: ParsedArgs,
  env: Readonly<Record<string, string | undefined>>,
  command: readonly string[],
): SpecOptions {
  const text = (long: string): string | undefined => args.text(long);
  const cpus = text("cpus");
  const memory = text("memory");
  const pids = text("pids-limit");
  const entrypoint = text("entrypoint");
  return {
    args: command,
    entrypoint: entrypoint === undefined ? undefined : entrypoint === "" ? [] : [entrypoint],
    env: environment(args, env),
    cwd: text("workdir"),
    terminal: args.flag("tty"),
    readOnly: args.flag("read-only"),
    ...readMachineOptions(args),
    hostname: text("hostname"),
    network: text("net") === "host" ? "host" : "none",
    mounts: mounts(args, env["PWD"] ?? process.cwd()),
    capAdd: args.list("cap-add").flatMap((word) => word.split(",")),
    capDrop: args.list("cap-drop").flatMap((word) => word.split(",")),
    privileged: args.flag("privileged"),
    cpus: cpus === undefined ? undefined : parsePositive(cpus, "--cpus"),
    memoryBytes: memory === undefined ? undefined : parseSize(memory, "--memory"),
    pidsLimit: pids === undefined ? undefined : parseWhole(pids, "--pids-limit", -1),
  };
}

/** Files first, then single variables, so that those win. A name alone takes this process's value, if it has one. */
export function environment(args: ParsedArgs, env: Readonly<Record<string, string | undefined>>): string[] {
  const words = [...args.list("env-file").flatMap(readEnvFile), ...args.list("env")];
  return words.flatMap((word) => {
    if (word.startsWith("=") || word === "") throw new UsageError(`option --env: ${JSON.stringify(word)} has no name`);
    if (word.includes("=")) return [word];
    const value = env[word];
    return value === undefined ? [] : [`${word}=${value}`];
  });
}

function mounts(args: ParsedArgs, cwd: string): MountEntry[] {
  try {
    const entries = [
      ...args.list("volume").map((text) => volumeMount(text, cwd)),
      ...args.list("mount").map((text) => mountFlag(text, cwd)),
      ...args.list("tmpfs").map((text) => tmpfs(text)),
    ];
    for (const { type, source } of entries) if (type === "bind" && !existsSync(source)) throw missingSource(source);
    return entries;
  } catch (error) {
    if (error instanceof CommandError) throw error;
    throw new UsageError(messageOf(error).replace(/: invalid argument$/, ""));
  }
}

/** Docker makes a folder for a source that is not there, and hides with it many a mistyped path. */
function missingSource(source: string): CommandError {
  const hint = `mkdir -p ${source} makes it, if an empty folder is meant`;
  return new CommandError(`mount: ${source} is not there`, { hint, exitCode: 125 });
}

function tmpfs(text: string): MountEntry {
  const [path = "", options = ""] = text.split(":");
  return mountFlag(`type=tmpfs,dst=${path}${options === "" ? "" : `,options=${options.replaceAll(",", ":")}`}`, "/");
}
