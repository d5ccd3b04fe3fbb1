import { ptr } from "bun:ffi";
import { check, lazyLibrary } from "./libc.ts";

/** Calls that the C library may not wrap, by number. Source: asm/unistd_64.h; these are the same on x86-64 and arm64. */
const numbers = {
  pidfd_send_signal: 424,
  open_tree: 428,
  move_mount: 429,
  pidfd_open: 434,
  openat2: 437,
  pidfd_getfd: 438,
  mount_setattr: 442,
} as const;

export type SyscallName = keyof typeof numbers;

const libc = lazyLibrary({
  syscall: { args: ["i64", "i64", "i64", "i64", "i64", "i64", "i64"], returns: "i64" },
});

/**
 * Makes a raw system call.
 * SAFETY: buffers are passed by address and live through the call, since `args` holds them. JUSTIFICATION: glibc before
 * 2.36 has no wrapper for these. Source: syscall(2).
 */
export function syscall(name: SyscallName, args: readonly (number | NodeJS.TypedArray)[], detail?: string): number {
  const words = args.map((arg) => (typeof arg === "number" ? arg : ptr(arg)));
  const word = (n: number): number => words[n] ?? 0;
  return check(
    name,
    () => Number(libc().syscall(numbers[name], word(0), word(1), word(2), word(3), word(4), word(5))),
    detail,
  );
}
