import { readFileSync } from "node:fs";
import { invalidArgument, quote } from "../../lib/faults.ts";
import { defaultCapabilities } from "./default-spec.ts";

/** Every capability by its bit. Source: linux/capability.h of Linux 6.12. */
// biome-ignore format: a list of words
const names: readonly string[] = [
  "CHOWN", "DAC_OVERRIDE", "DAC_READ_SEARCH", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP",
  "LINUX_IMMUTABLE", "NET_BIND_SERVICE", "NET_BROADCAST", "NET_ADMIN", "NET_RAW", "IPC_LOCK", "IPC_OWNER",
  "SYS_MODULE", "SYS_RAWIO", "SYS_CHROOT", "SYS_PTRACE", "SYS_PACCT", "SYS_ADMIN", "SYS_BOOT", "SYS_NICE",
  "SYS_RESOURCE", "SYS_TIME", "SYS_TTY_CONFIG", "MKNOD", "LEASE", "AUDIT_WRITE", "AUDIT_CONTROL", "SETFCAP",
  "MAC_OVERRIDE", "MAC_ADMIN", "SYSLOG", "WAKE_ALARM", "BLOCK_SUSPEND", "AUDIT_READ", "PERFMON", "BPF",
  "CHECKPOINT_RESTORE",
];

export interface CapabilityChange {
  readonly add: readonly string[];
  readonly drop: readonly string[];
  /** Start from all that this process may hand on rather than from the default set. */
  readonly all: boolean;
}

/**
 * The default capabilities with some added and some dropped.
 * Shape: names with or without `CAP_`, in any case; `ALL` is every one that this process has.
 * Errors: invalidArgument for a name that is no capability.
 */
export function changedCapabilities(change: CapabilityChange): string[] {
  const dropAll = change.drop.some(isAll);
  const start = change.all || change.add.some(isAll) ? currentCapabilities() : dropAll ? [] : defaultCapabilities;
  const set = new Set(start);
  for (const name of change.add) if (!isAll(name)) set.add(capabilityName(name));
  for (const name of change.drop) if (!isAll(name)) set.delete(capabilityName(name));
  return [...set];
}

function isAll(name: string): boolean {
  return name.toUpperCase() === "ALL";
}

function capabilityName(given: string): string {
  const bare = given.toUpperCase().replace(/^CAP_/, "");
  if (!names.includes(bare)) throw invalidArgument(`capability ${quote(given)} is not known`);
  return `CAP_${bare}`;
}

/** What this process itself may do: more cannot be given. Source: proc_pid_status(5), CapEff. */
function currentCapabilities(): string[] {
  const mask = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(readFileSync("/proc/self/status", "utf8"))?.[1] ?? "0"}`);
  return names.filter((_, bit) => (mask >> BigInt(bit)) & 1n).map((name) => `CAP_${name}`);
}
