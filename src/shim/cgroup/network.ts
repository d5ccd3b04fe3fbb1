import { readFileSync, statSync } from "node:fs";
import { isErrno } from "../../sys/index.ts";

/** What went through an interface. */
export interface InterfaceFigures {
  readonly name: string;
  readonly rxBytes: bigint;
  readonly rxPackets: bigint;
  readonly rxErrors: bigint;
  readonly rxDropped: bigint;
  readonly txBytes: bigint;
  readonly txPackets: bigint;
  readonly txErrors: bigint;
  readonly txDropped: bigint;
}

/**
 * The interfaces that a process sees, unless its network is the machine's: those figures are everybody's.
 * Shape: the loopback counts, too. None once the process is gone.
 */
export function readNetwork(pid: number): InterfaceFigures[] {
  try {
    if (statSync(`/proc/${pid}/ns/net`).ino === statSync("/proc/self/ns/net").ino) return [];
    return parseNetDev(readFileSync(`/proc/${pid}/net/dev`, "utf8"));
  } catch (error) {
    if (isErrno(error, "ENOENT", "ESRCH", "EINVAL", "EACCES")) return [];
    throw error;
  }
}

/** The lines of /proc/PID/net/dev. Source: proc_pid_net(5): eight figures of what came, eight of what went. */
export function parseNetDev(text: string): InterfaceFigures[] {
  return text.split("\n").flatMap((line) => {
    const at = line.lastIndexOf(":");
    const figures = line
      .slice(at + 1)
      .trim()
      .split(/\s+/);
    if (at < 0 || figures.length < 16 || !figures.every((figure) => /^\d+$/.test(figure))) return [];
    const [rxBytes = 0n, rxPackets = 0n, rxErrors = 0n, rxDropped = 0n] = figures.map(BigInt);
    const [txBytes = 0n, txPackets = 0n, txErrors = 0n, txDropped = 0n] = figures.slice(8).map(BigInt);
    const name = line.slice(0, at).trim();
    return [{ name, rxBytes, rxPackets, rxErrors, rxDropped, txBytes, txPackets, txErrors, txDropped }];
  });
}
