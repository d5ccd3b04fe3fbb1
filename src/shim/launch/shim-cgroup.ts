import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { shimCgroupOf } from "../../core/runtime-options.ts";
import type { BootstrapParams } from "../../gen/containerd/runtime/bootstrap/v1/bootstrap_pb.ts";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { cgroupAt, readCgroupMounts } from "../cgroup/locate.ts";

/** In the bundle: which host `delete` has to ask. */
const cgroupFile = "shim-cgroup";

/**
 * The cgroup that a containerd wants the shim in, by what it gives to `start`; empty when it wants it in none.
 * Shape: the parameters of containerd 2.3 and later, or the runtime's options themselves. Errors: invalidArgument.
 */
export function wantedCgroup(stdin: Uint8Array, params: BootstrapParams | undefined): string {
  if (params === undefined) return shimCgroupOf(anyOf(stdin));
  for (const { value } of params.extensions) {
    const found = shimCgroupOf(value);
    if (found !== "") return found;
  }
  return "";
}

function anyOf(bytes: Uint8Array): Any | undefined {
  try {
    return bytes.length === 0 ? undefined : fromBinary(AnySchema, bytes);
  } catch {
    // Something else than options, which have no say then.
    return undefined;
  }
}

/** Remembers which host a bundle's task is at, for as long as there is the bundle. */
export function noteCgroup(bundle: string, cgroup: string): void {
  if (cgroup !== "") writeFileSync(join(bundle, cgroupFile), cgroup, { mode: 0o600 });
}

/** What was noted; empty for the host that is in no cgroup of a client's. */
export function notedCgroup(bundle: string): string {
  try {
    return readFileSync(join(bundle, cgroupFile), "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT", "ENOTDIR")) return "";
    throw error;
  }
}

/**
 * Moves this process into a cgroup that is there, so that what it starts is in it from its first moment.
 * Shape: on v1 into that of each controller which has it. Errors: unknown, with containerd's words.
 * Source: containerd cmd/containerd-shim-runc-v2/manager/manager_linux.go, Start.
 */
export function joinCgroup(cgroup: string): void {
  const found = cgroupAt(cgroup, readCgroupMounts());
  const folders = found?.version === 1 ? new Set(Object.values(found.paths)) : new Set(found ? [found.path] : []);
  let isThere = false;
  for (const folder of folders) {
    try {
      writeFileSync(join(folder, "cgroup.procs"), String(process.pid), { flag: "r+" });
      isThere = true;
    } catch (error) {
      if (isErrno(error, "ENOENT")) continue;
      throw new FaultError("unknown", `failed to join cgroup ${cgroup}: ${messageOf(error)}`, { cause: error });
    }
  }
  if (!isThere) throw new FaultError("unknown", `failed to load cgroup ${cgroup}: cgroups: cgroup deleted`);
}
