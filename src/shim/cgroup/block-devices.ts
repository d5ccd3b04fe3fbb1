import { readFileSync } from "node:fs";

/** Names of block devices by their numbers: `254:0` is /dev/vda. Source: /proc/partitions, proc(5). */
export function blockDevices(text: string = readFileSync("/proc/partitions", "utf8")): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  for (const line of text.split("\n")) {
    const match = /^\s*(\d+)\s+(\d+)\s+\d+\s+(\S+)\s*$/.exec(line);
    if (match !== null) names.set(`${match[1]}:${match[2]}`, `/dev/${match[3]}`);
  }
  return names;
}
