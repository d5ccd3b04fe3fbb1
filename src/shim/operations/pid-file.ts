import { readFileSync } from "node:fs";
import { FaultError, fault, messageOf } from "../../lib/faults.ts";

/** The number that a runtime wrote. Errors: unknown, as containerd's shim says it. */
export function readPidFile(path: string): number {
  try {
    const pid = Number(readFileSync(path, "utf8").trim());
    if (Number.isSafeInteger(pid) && pid > 0) return pid;
    throw fault("internal", "no process number in it");
  } catch (error) {
    throw new FaultError("unknown", `failed to retrieve OCI runtime container pid: ${messageOf(error)}`, {
      cause: error,
    });
  }
}
