import type { FaultKind } from "../lib/faults.ts";

interface Errno {
  readonly name: string;
  /** As Go prints it, since clients read these texts. */
  readonly text: string;
  /** What the failure means where nothing better is known; this is the only table from errno to kind. */
  readonly kind: FaultKind;
}

const e = (name: string, text: string, kind: FaultKind = "unknown"): Errno => ({ name, text, kind });

/** The errors of Linux by number, the same on x86-64 and arm64. Source: errno(3), asm-generic/errno-base.h and errno.h. */
const table: ReadonlyMap<number, Errno> = new Map([
  [1, e("EPERM", "operation not permitted", "permissionDenied")],
  [2, e("ENOENT", "no such file or directory", "notFound")],
  [3, e("ESRCH", "no such process", "notFound")],
  [4, e("EINTR", "interrupted system call", "unavailable")],
  [5, e("EIO", "input/output error")],
  [6, e("ENXIO", "no such device or address")],
  [7, e("E2BIG", "argument list too long", "invalidArgument")],
  [8, e("ENOEXEC", "exec format error", "invalidArgument")],
  [9, e("EBADF", "bad file descriptor", "internal")],
  [10, e("ECHILD", "no child processes", "notFound")],
  [11, e("EAGAIN", "resource temporarily unavailable", "unavailable")],
  [12, e("ENOMEM", "cannot allocate memory", "resourceExhausted")],
  [13, e("EACCES", "permission denied", "permissionDenied")],
  [14, e("EFAULT", "bad address", "internal")],
  [15, e("ENOTBLK", "block device required", "invalidArgument")],
  [16, e("EBUSY", "device or resource busy", "failedPrecondition")],
  [17, e("EEXIST", "file exists", "alreadyExists")],
  [18, e("EXDEV", "invalid cross-device link", "failedPrecondition")],
  [19, e("ENODEV", "no such device", "notImplemented")],
  [20, e("ENOTDIR", "not a directory", "failedPrecondition")],
  [21, e("EISDIR", "is a directory", "failedPrecondition")],
  [22, e("EINVAL", "invalid argument", "invalidArgument")],
  [23, e("ENFILE", "too many open files in system", "resourceExhausted")],
  [24, e("EMFILE", "too many open files", "resourceExhausted")],
  [25, e("ENOTTY", "inappropriate ioctl for device", "invalidArgument")],
  [26, e("ETXTBSY", "text file busy", "failedPrecondition")],
  [27, e("EFBIG", "file too large", "outOfRange")],
  [28, e("ENOSPC", "no space left on device", "resourceExhausted")],
  [29, e("ESPIPE", "illegal seek", "invalidArgument")],
  [30, e("EROFS", "read-only file system", "failedPrecondition")],
  [31, e("EMLINK", "too many links", "resourceExhausted")],
  [32, e("EPIPE", "broken pipe", "unavailable")],
  [34, e("ERANGE", "numerical result out of range", "outOfRange")],
  [36, e("ENAMETOOLONG", "file name too long", "invalidArgument")],
  [38, e("ENOSYS", "function not implemented", "notImplemented")],
  [39, e("ENOTEMPTY", "directory not empty", "failedPrecondition")],
  [40, e("ELOOP", "too many levels of symbolic links", "invalidArgument")],
  [61, e("ENODATA", "no data available", "notFound")],
  [75, e("EOVERFLOW", "value too large for defined data type", "outOfRange")],
  [88, e("ENOTSOCK", "socket operation on non-socket", "internal")],
  [90, e("EMSGSIZE", "message too long", "invalidArgument")],
  [95, e("EOPNOTSUPP", "operation not supported", "notImplemented")],
  [97, e("EAFNOSUPPORT", "address family not supported by protocol", "unknown")],
  [98, e("EADDRINUSE", "address already in use", "unavailable")],
  [99, e("EADDRNOTAVAIL", "cannot assign requested address", "unknown")],
  [104, e("ECONNRESET", "connection reset by peer", "unavailable")],
  [109, e("ETOOMANYREFS", "too many references: cannot splice", "resourceExhausted")],
  [110, e("ETIMEDOUT", "connection timed out", "deadlineExceeded")],
  [111, e("ECONNREFUSED", "connection refused", "unavailable")],
  [116, e("ESTALE", "stale file handle", "unavailable")],
  [117, e("EUCLEAN", "structure needs cleaning", "dataLoss")],
  [122, e("EDQUOT", "disk quota exceeded", "resourceExhausted")],
]);

/** What an errno number says; an unknown one keeps its number. */
export function errnoOf(number: number): Errno {
  return table.get(number) ?? e(`errno ${number}`, `errno ${number}`);
}
