import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { FaultError, messageOf } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { tail } from "../runtime/runtime-log.ts";

/** Errors that CRIU goes on from, and those that only say that there was one before. */
const unhelpful = /RLIMIT_NOFILE|Dumping FAILED|Restoring FAILED|cgroupd: recv req error/;

/** Puts what CRIU itself says behind the runtime's message, and keeps its log beside the bundle's files. */
export function withCriuLog(error: unknown, bundle: string, log: string, name: string): FaultError {
  const kept = join(bundle, name);
  try {
    copyFileSync(log, kept);
  } catch (failure) {
    if (!isErrno(failure, "ENOENT")) throw failure;
    // CRIU did not come to write a log: the runtime's words are all there is.
    const kind = error instanceof FaultError ? error.kind : "unknown";
    return new FaultError(kind, messageOf(error), { cause: error });
  }
  const why = firstError(tail(log)) ?? "no error in CRIU's log";
  return new FaultError("unknown", `${messageOf(error)}: ${why} path= ${kept}`, { cause: error });
}

/** The line that tells why, without its time and place. */
export function firstError(log: string): string | undefined {
  const lines = log.split("\n").filter((line) => /Error \(/.test(line) && !unhelpful.test(line));
  return lines[0]?.replace(/^\([0-9.]+\)\s*(?:\d+: )?Error \([^)]*\): /, "").trim();
}
