import { FaultError } from "../lib/faults.ts";
import { errnoOf } from "./errno.ts";

/**
 * A system call that failed.
 * Shape: `code` is errno's name ("ENOENT"), `call` the call's; the message is `call detail: text`, as Go writes it.
 */
export class SysError extends FaultError {
  readonly call: string;
  readonly errno: number;
  readonly code: string;

  constructor(call: string, errno: number, detail = "") {
    const { kind, name, text } = errnoOf(errno);
    super(kind, `${call}${detail === "" ? "" : ` ${detail}`}: ${text}`);
    this.name = "SysError";
    this.call = call;
    this.errno = errno;
    this.code = name;
  }
}

/** True for a failed system call with one of these errno names, and for Node's own errors with such a `code`. */
export function isErrno(error: unknown, ...codes: readonly string[]): boolean {
  return error instanceof Error && "code" in error && typeof error.code === "string" && codes.includes(error.code);
}
