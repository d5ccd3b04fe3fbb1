import { readdirSync, readFileSync, statSync } from "node:fs";

/** What the kernel tells of a process. */
export interface ProcessFacts {
  readonly cpuSeconds: number;
  readonly startSeconds: number;
  readonly virtualBytes: number;
  readonly residentBytes: number;
}

/** Source: proc_pid_stat(5); the kernel counts times in hundredths of a second for programs, on every architecture. */
const ticksPerSecond = 100;
const pageBytes = 4096;

/** Reads /proc/PID/stat; undefined for a process that is gone. */
export function processFacts(pid: number | "self", bootSeconds: number): ProcessFacts | undefined {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/stat`, "utf8");
  } catch {
    return undefined; // it ended
  }
  // The second field is a name in parentheses, which may hold anything.
  const fields = text
    .slice(text.lastIndexOf(")") + 2)
    .split(" ")
    .map(Number);
  const [userTicks = 0, systemTicks = 0] = [fields[11], fields[12]];
  return {
    cpuSeconds: (userTicks + systemTicks) / ticksPerSecond,
    startSeconds: bootSeconds + (fields[19] ?? 0) / ticksPerSecond,
    virtualBytes: fields[20] ?? 0,
    residentBytes: (fields[21] ?? 0) * pageBytes,
  };
}

/** When the machine was started, in seconds since 1970. */
export function bootTime(): number {
  return Number(/^btime (\d+)$/m.exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? 0);
}

/**
 * How many descriptors this process has open.
 * Source: proc_pid_fd(5): since Linux 6.2 the folder's size is their number, which costs the same however many there are.
 */
export function openDescriptors(): number {
  const { size } = statSync("/proc/self/fd");
  return size > 0 ? size : readdirSync("/proc/self/fd").length - 1; // without the one that read the folder
}

/** A limit of this process; infinity for none. Source: proc_pid_limits(5). */
export function limitOf(name: "Max open files" | "Max address space"): number {
  const line = readFileSync("/proc/self/limits", "utf8")
    .split("\n")
    .find((one) => one.startsWith(name));
  const soft = line?.slice(name.length).trim().split(/\s+/)[0];
  return soft === undefined || soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
}

/** Bytes that came and went by IP, of this process's network namespace. Source: proc_pid_net(5), netstat, IpExt. */
export function networkBytes(): { readonly received: number; readonly sent: number } {
  const lines = readFileSync("/proc/self/net/netstat", "utf8").split("\n");
  const [names = [], values = []] = lines.filter((line) => line.startsWith("IpExt:")).map((line) => line.split(" "));
  const value = (name: string): number => Number(values[names.indexOf(name)] ?? 0);
  return { received: value("InOctets"), sent: value("OutOctets") };
}
