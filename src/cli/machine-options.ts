import { statSync } from "node:fs";
import type { MachineOptions } from "../client/spec/machine-options.ts";
import type { OptionSpec, ParsedArgs } from "./args.ts";
import { parseSize, parseWhole } from "./units.ts";
import { CommandError, UsageError } from "./usage-error.ts";

/** Options of `run` for a container's part of the machine, in docker's words. */
export const machineOptions: readonly OptionSpec[] = [
  { long: "init", help: "Put a small init before the command, which passes signals on and reaps orphans" },
  { long: "device", value: "HOST[:PATH[:rwm]]", many: true, help: "Let it use a device of this machine" },
  { long: "ulimit", value: "NAME=SOFT[:HARD]", many: true, help: "A limit of its processes, e.g. nofile=1024" },
  { long: "shm-size", value: "SIZE", help: "Size of /dev/shm (64m)" },
  { long: "sysctl", value: "KEY=VALUE", many: true, help: "A kernel setting of its own namespaces" },
  { long: "pid", value: "host", choices: ["host", "private"], help: "host: see all processes of this machine" },
  { long: "ipc", value: "host", choices: ["host", "private"], help: "host: share System V IPC with this machine" },
  { long: "uts", value: "host", choices: ["host", "private"], help: "host: have this machine's host name" },
  { long: "group-add", value: "GID", many: true, help: "Be in another group, too, by its number" },
  { long: "security-opt", value: "OPTION", many: true, help: "no-new-privileges: no program may gain rights" },
  { long: "cpu-shares", short: "c", value: "N", help: "Weight among those that want the CPU (1024)" },
  { long: "cpuset-cpus", value: "LIST", help: "Only on these CPUs, e.g. 0-2,7" },
  { long: "cpuset-mems", value: "LIST", help: "Only memory of these NUMA nodes" },
  { long: "memory-swap", value: "SIZE", help: "At most this much memory and swap together; -1: no limit" },
  { long: "memory-reservation", value: "SIZE", help: "What it is pushed back to when memory is short" },
  { long: "oom-score-adj", value: "N", help: "Sooner (up to 1000) or later (-1000) killed when memory is short" },
  { long: "annotation", value: "KEY=VALUE", many: true, help: "Tell the OCI runtime something" },
];

/** What the command line says of the machine. Errors: UsageError, CommandError (no such device or init). */
export function readMachineOptions(args: ParsedArgs): MachineOptions {
  const size = (long: string): number | undefined => {
    const text = args.text(long);
    return text === undefined ? undefined : text === "-1" ? -1 : parseSize(text, `--${long}`);
  };
  const whole = (long: string, least: number): number | undefined => {
    const text = args.text(long);
    return text === undefined ? undefined : parseWhole(text, `--${long}`, least);
  };
  const shares = (["pid", "ipc", "uts"] as const).filter((long) => args.text(long) === "host");
  return {
    init: args.flag("init") ? initProgram() : undefined,
    devices: args.list("device").map(device),
    rlimits: args.has("ulimit") ? args.list("ulimit").map(ulimit) : undefined,
    shmBytes: size("shm-size"),
    sysctls: args.has("sysctl") ? pairs(args.list("sysctl"), "--sysctl") : undefined,
    annotations: args.has("annotation") ? pairs(args.list("annotation"), "--annotation") : undefined,
    sharedNamespaces: shares,
    groups: args.list("group-add").map((text) => parseWhole(text, "--group-add")),
    noNewPrivileges: noNewPrivileges(args.list("security-opt")),
    cpuShares: whole("cpu-shares", 2),
    cpusetCpus: args.text("cpuset-cpus"),
    cpusetMems: args.text("cpuset-mems"),
    swapBytes: size("memory-swap"),
    reservedBytes: size("memory-reservation"),
    oomScoreAdj: whole("oom-score-adj", -1000),
  };
}

/** Programs for the purpose that need nothing of the container's root. */
const inits: readonly string[] = ["docker-init", "tini-static", "catatonit"];

function initProgram(): string {
  const found = inits.map((name) => Bun.which(name)).find((path) => path !== null);
  if (found !== undefined && found !== null) return found;
  throw new CommandError(`option --init: no init is installed here (${inits.join(", ")})`, {
    hint: "apt-get install tini brings tini-static; or leave --init out",
    exitCode: 125,
  });
}

const readable = /^[rwm]{1,3}$/;

function device(text: string): NonNullable<MachineOptions["devices"]>[number] {
  const [source = "", second, third] = text.split(":");
  const [path, access] =
    third === undefined && readable.test(second ?? "") ? [source, second] : [second ?? source, third];
  if (!path.startsWith("/") || !readable.test(access ?? "rwm")) {
    throw new UsageError(
      `option --device: ${JSON.stringify(text)} is malformed`,
      "write it as /dev/fuse or /dev/sda:/dev/xvda:r",
    );
  }
  const stat = statSync(source, { throwIfNoEntry: false });
  const type = stat?.isCharacterDevice() === true ? "c" : stat?.isBlockDevice() === true ? "b" : undefined;
  if (stat === undefined || type === undefined) {
    throw new CommandError(`option --device: ${source} ${stat === undefined ? "is not there" : "is no device"}`, {
      hint: "ls -l /dev shows what this machine has",
      exitCode: 125,
    });
  }
  const { major, minor } = numbersOf(stat.rdev);
  const { uid, gid, mode } = stat;
  return { path, type, major, minor, fileMode: mode & 0o777, uid, gid, access: access ?? "rwm" };
}

/** Source: makedev(3) of glibc, in reverse. */
function numbersOf(rdev: number): { major: number; minor: number } {
  const all = BigInt(rdev);
  const major = ((all >> 8n) & 0xfffn) | ((all >> 32n) & 0xfffff000n);
  const minor = (all & 0xffn) | ((all >> 12n) & 0xffffff00n);
  return { major: Number(major), minor: Number(minor) };
}

/** Source: getrlimit(2). */
const limits: readonly string[] =
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" ");

function ulimit(text: string): { type: string; soft: number; hard: number } {
  const [name = "", values = ""] = text.split("=", 2);
  const [soft = "", hard = soft] = values.split(":");
  if (!limits.includes(name) || soft === "") {
    throw new UsageError(
      `option --ulimit: ${JSON.stringify(text)} is malformed`,
      `write it as nofile=1024:2048; names are ${limits.join(", ")}`,
    );
  }
  const [low, high] = [soft, hard].map((value) =>
    // What the runtimes take for no limit.
    value === "-1" || value === "unlimited" ? Number.MAX_SAFE_INTEGER : parseWhole(value, "--ulimit"),
  );
  return { type: `RLIMIT_${name.toUpperCase()}`, soft: low ?? 0, hard: high ?? 0 };
}

function pairs(words: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      if (at <= 0) throw new UsageError(`option ${option}: ${JSON.stringify(word)} is not KEY=VALUE`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}

/** There is no profile of ours that these would lift. */
const lifted: readonly string[] = [
  "seccomp=unconfined",
  "apparmor=unconfined",
  "label=disable",
  "systempaths=unconfined",
];

function noNewPrivileges(words: readonly string[]): boolean {
  let on = false;
  for (const word of words) {
    const text = word.replace(":", "=");
    if (text === "no-new-privileges" || text === "no-new-privileges=true") on = true;
    else if (text === "no-new-privileges=false") on = false;
    else if (!lifted.includes(text)) {
      throw new UsageError(
        `option --security-opt: ${JSON.stringify(word)} is not supported`,
        "no-new-privileges is; there is no seccomp or AppArmor profile, so that none need be lifted",
      );
    }
  }
  return on;
}
