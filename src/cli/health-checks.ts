import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";

/** One thing that was looked at. */
export interface Check {
  readonly name: string;
  readonly result: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do about it. */
  readonly advice?: string | undefined;
}

/** The kernel, cgroups, filesystems and rights of this machine. Effects: reads /proc and /sys. */
export async function machineChecks(): Promise<Check[]> {
  return [kernelCheck(), cgroupCheck(), overlayCheck(), namespaceCheck(), rightsCheck()];
}

/** The programs that lighter uses. Effects: runs each for its version. */
export async function runtimeChecks(): Promise<Check[]> {
  const [crun, runc, criu] = await Promise.all([versionOf("crun"), versionOf("runc"), versionOf("criu")]);
  return [runtimeCheck(crun, runc), criuCheck(criu)];
}

function kernelCheck(): Check {
  const version = release();
  const [major = 0, minor = 0] = version.split(/[.-]/).map(Number);
  const number = major * 1000 + minor;
  if (number < 5010) {
    return {
      name: "kernel",
      result: "fail",
      found: version,
      advice: "Linux 5.10 or newer is needed: pidfds and openat2",
    };
  }
  if (number < 6015) {
    const advice = "from Linux 6.15 on, exit codes of containers are known even after the shim host died";
    return { name: "kernel", result: "ok", found: `${version} (${advice})` };
  }
  return { name: "kernel", result: "ok", found: version };
}

function cgroupCheck(): Check {
  const name = "cgroups";
  const types = mounts().filter(({ path }) => path.startsWith("/sys/fs/cgroup"));
  const v2 = types.find(({ type }) => type === "cgroup2");
  const v1 = types.filter(({ type }) => type === "cgroup").flatMap(({ options }) => controllersOf(options));
  if (v2 !== undefined && v1.length === 0) return unifiedCheck(v2.path);
  const missing = ["memory", "cpu", "pids"].filter((controller) => !v1.includes(controller));
  if (v1.length === 0) {
    return { name, result: "fail", found: "none are mounted", advice: "mount -t cgroup2 none /sys/fs/cgroup" };
  }
  if (missing.length > 0) {
    return {
      name,
      result: "warn",
      found: `v1 without ${missing.join(", ")}`,
      advice: "limits of these kinds will not hold",
    };
  }
  if (v2 === undefined) return { name, result: "ok", found: `v1 (${v1.length} controllers)` };
  return {
    name,
    result: "warn",
    found: `hybrid: v1 controllers, v2 beside them at ${v2.path}`,
    advice:
      "runc works as it is; crun works under lighterd, which hides v2 from it; boot with systemd.unified_cgroup_hierarchy=1 for v2 alone",
  };
}

function unifiedCheck(path: string): Check {
  const name = "cgroups";
  const controllers = readText(`${path}/cgroup.controllers`).trim().split(" ");
  const missing = ["memory", "cpu", "pids"].filter((controller) => !controllers.includes(controller));
  if (missing.length === 0) return { name, result: "ok", found: `v2 (${controllers.join(" ")})` };
  return {
    name,
    result: "warn",
    found: `v2 without ${missing.join(", ")}`,
    advice: "limits of these kinds will not hold; delegate the controllers to this cgroup",
  };
}

function overlayCheck(): Check {
  const name = "overlayfs";
  if (/\boverlay$/m.test(readText("/proc/filesystems"))) return { name, result: "ok", found: "the kernel has it" };
  return {
    name,
    result: "fail",
    found: "the kernel does not have it",
    advice: "modprobe overlay, or run with --snapshotter native",
  };
}

function namespaceCheck(): Check {
  const missing = ["pid", "ipc", "uts", "mnt", "net"].filter((kind) => !existsSync(`/proc/self/ns/${kind}`));
  if (missing.length === 0) return { name: "namespaces", result: "ok", found: "pid, ipc, uts, mount, network" };
  return {
    name: "namespaces",
    result: "fail",
    found: `missing: ${missing.join(", ")}`,
    advice: "the kernel was built without them",
  };
}

const capSysAdmin = 21n;
const capSysResource = 24n;

function rightsCheck(): Check {
  const name = "rights";
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readText("/proc/self/status"))?.[1] ?? "0"}`);
  const has = (bit: bigint): boolean => ((mask >> bit) & 1n) === 1n;
  if (process.getuid?.() !== 0) {
    return {
      name,
      result: "warn",
      found: `user ${process.getuid?.() ?? "?"}`,
      advice: "the daemon needs root; this command needs access to its socket: sudo lighter ...",
    };
  }
  if (!has(capSysAdmin))
    return {
      name,
      result: "fail",
      found: "root without CAP_SYS_ADMIN",
      advice: "the daemon cannot mount; give its surroundings more rights",
    };
  if (!has(capSysResource)) {
    return {
      name,
      result: "warn",
      found: "root without CAP_SYS_RESOURCE",
      advice: "limits cannot be raised nor OOM scores lowered; containers run all the same",
    };
  }
  return { name, result: "ok", found: "root with all that is needed" };
}

function runtimeCheck(crun: string | undefined, runc: string | undefined): Check {
  const name = "runtime";
  if (crun === undefined && runc === undefined)
    return { name, result: "fail", found: "neither crun nor runc", advice: "apt install crun (or runc)" };
  const found = [crun, runc].filter((version) => version !== undefined).join(", ");
  if (crun === undefined)
    return { name, result: "ok", found: `${found} (crun starts containers faster: apt install crun)` };
  return { name, result: "ok", found };
}

function criuCheck(criu: string | undefined): Check {
  const name = "criu";
  if (criu === undefined)
    return { name, result: "warn", found: "not installed", advice: "only checkpoints need it: apt install criu" };
  return { name, result: "ok", found: criu };
}

/** A program's first line about its version; undefined when it is not there. */
async function versionOf(program: string): Promise<string | undefined> {
  if (Bun.which(program) === null) return undefined;
  const child = Bun.spawn([program, "--version"], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });
  const line = (await new Response(child.stdout).text()).split("\n")[0]?.trim() ?? "";
  await child.exited;
  return line === "" ? program : line.replace(" version", "").replace("Version:", "criu");
}

interface MountLine {
  readonly path: string;
  readonly type: string;
  readonly options: string;
}

function mounts(): MountLine[] {
  return readText("/proc/self/mounts")
    .split("\n")
    .map((line) => line.split(" "))
    .map(([, path = "", type = "", options = ""]) => ({ path, type, options }));
}

function controllersOf(options: string): string[] {
  return options
    .split(",")
    .filter((word) =>
      ["memory", "cpu", "pids", "cpuset", "cpuacct", "blkio", "devices", "freezer", "hugetlb"].includes(word),
    );
}

function readText(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    // What cannot be read is reported as missing.
    return "";
  }
}
