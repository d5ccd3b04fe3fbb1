import { existsSync } from "node:fs";
import type { MountEntry } from "./runtime-spec.ts";

/** The host's files that a container on the host's network wants, those that exist. */
export function hostNetworkMounts(): MountEntry[] {
  return ["/etc/hosts", "/etc/resolv.conf"]
    .filter((path) => existsSync(path))
    .map((path) => ({ destination: path, type: "bind", source: path, options: ["rbind", "ro"] }));
}
