import { dlopen, type FFIFunction, type Library, type Pointer, read } from "bun:ffi";
import { SysError } from "./sys-error.ts";

/** glibc's name; the only C library that this fence opens. */
const libraryName = "libc.so.6";

/**
 * Opens a subject's table of symbols on first use, so that a process pays only for the calls that it makes.
 * JUSTIFICATION: the runtime has no binding for these calls. SAFETY: the signatures stand in one table a subject, and
 * the wrappers beside each table are the only callers.
 */
export function lazyLibrary<const T extends Record<string, FFIFunction>>(table: T): () => Library<T>["symbols"] {
  let symbols: Library<T>["symbols"] | undefined;
  return () => {
    symbols ??= dlopen(libraryName, table).symbols;
    return symbols;
  };
}

const errnoLibrary = lazyLibrary({ __errno_location: { args: [], returns: "ptr" } });

let errnoAddress: Pointer | undefined;

/** The calling thread's errno. SAFETY: read before anything else calls into C; the address is fixed for a thread. */
export function lastErrno(): number {
  errnoAddress ??= errnoLibrary().__errno_location() as Pointer;
  return read.i32(errnoAddress, 0);
}

const [EINTR, EAGAIN] = [4, 11];

/**
 * Runs a call that answers -1 on failure, again while a signal interrupts it.
 * Errors: SysError with errno and the call's name.
 */
export function check(call: string, run: () => number, detail?: string): number {
  // The first use resolves errno's address, which must not happen between a call and the reading of its errno.
  if (errnoAddress === undefined) lastErrno();
  for (;;) {
    const result = run();
    if (result !== -1) return result;
    const errno = lastErrno();
    if (errno !== EINTR) throw new SysError(call, errno, detail);
  }
}

/** As `check`; undefined for EAGAIN, of which whoever asks again and again makes no error. */
export function checkNow(call: string, run: () => number): number | undefined {
  if (errnoAddress === undefined) lastErrno();
  for (;;) {
    const result = run();
    if (result !== -1) return result;
    const errno = lastErrno();
    if (errno === EAGAIN) return undefined;
    if (errno !== EINTR) throw new SysError(call, errno);
  }
}

const encoder = new TextEncoder();

/** A path: text, or the bytes of a name that is no UTF-8. */
export type PathBytes = string | Uint8Array;

/** A string as C has it. Errors: SysError EINVAL when it holds a NUL, which C would take for its end. */
export function cString(text: PathBytes): Uint8Array {
  if (typeof text !== "string") return cBytes(text);
  if (text.includes("\0")) throw new SysError("string", 22, JSON.stringify(text));
  const bytes = new Uint8Array(Buffer.byteLength(text) + 1);
  encoder.encodeInto(text, bytes);
  return bytes;
}

function cBytes(bytes: Uint8Array): Uint8Array {
  if (bytes.includes(0)) throw new SysError("string", 22);
  const ended = new Uint8Array(bytes.length + 1);
  ended.set(bytes);
  return ended;
}
