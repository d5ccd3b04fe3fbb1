import { FaultError, failedPrecondition } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import type { CgroupRecord } from "../state/records.ts";
import { readCgroupFile, writeCgroupFile } from "./cgroup-files.ts";

/** How long the kernel may take to stop every process. */
const freezeTimeoutMs = 5000;
const pollMs = 1;
/** After this long on v1 a thaw and another try helps processes that entered the kernel the wrong way. Source: runc libcontainer/cgroups/fs/freezer.go. */
const retryMs = 50;

/** The real freezer state of a cgroup; undefined when it has no freezer. */
export function freezerState(cgroup: CgroupRecord | undefined): "thawed" | "freezing" | "frozen" | undefined {
  if (cgroup === undefined) return undefined;
  if (cgroup.version === 2) {
    if (readCgroupFile(cgroup.path, "cgroup.freeze")?.trim() !== "1") return "thawed";
    return /^frozen 1$/m.test(readCgroupFile(cgroup.path, "cgroup.events") ?? "") ? "frozen" : "freezing";
  }
  const folder = cgroup.paths["freezer"];
  const text = folder === undefined ? undefined : readCgroupFile(folder, "freezer.state")?.trim();
  return text === undefined ? undefined : ({ THAWED: "thawed", FREEZING: "freezing", FROZEN: "frozen" } as const)[text];
}

/** True when the freezer can be used without the runtime. */
export function hasFreezer(cgroup: CgroupRecord | undefined): cgroup is CgroupRecord {
  return freezerState(cgroup) !== undefined;
}

/**
 * Freezes every process of a cgroup and waits until all stand still.
 * Errors: failedPrecondition when they don't within five seconds; they are thawed again then.
 */
export async function freeze(cgroup: CgroupRecord): Promise<void> {
  setFrozen(cgroup, true);
  const started = performance.now();
  for (let tries = 0; freezerState(cgroup) !== "frozen"; tries++) {
    const elapsed = performance.now() - started;
    if (elapsed > freezeTimeoutMs) {
      setFrozen(cgroup, false);
      throw failedPrecondition("OCI runtime pause failed: unable to freeze");
    }
    await Bun.sleep(pollMs);
    if (cgroup.version === 1 && tries % retryMs === retryMs - 1) setFrozen(cgroup, false);
    if (cgroup.version === 1) setFrozen(cgroup, true);
  }
}

/** Lets every process of a cgroup run on; one that is gone has none. Errors: unknown, with the kernel's text. */
export function thaw(cgroup: CgroupRecord): void {
  try {
    setFrozen(cgroup, false);
  } catch (error) {
    // A runtime that ends a container freezes it first, and removes it at any moment after.
    if (!isErrno(error, "ENOENT", "ENODEV")) throw error;
  }
}

function setFrozen(cgroup: CgroupRecord, on: boolean): void {
  if (cgroup.version === 2) return writeCgroupFile(cgroup.path, "cgroup.freeze", on ? "1" : "0");
  const folder = cgroup.paths["freezer"];
  if (folder === undefined) throw new FaultError("unknown", "cgroup: no freezer");
  writeCgroupFile(folder, "freezer.state", on ? "FROZEN" : "THAWED");
}
