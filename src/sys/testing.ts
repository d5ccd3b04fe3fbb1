import { test } from "bun:test";
import { closeSync, mkdtempSync, rmdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createKernel, type Kernel } from "./kernel.ts";
import { cString } from "./libc.ts";
import { unmountFlags } from "./mounts.ts";
import { SysError } from "./sys-error.ts";
import { syscall } from "./syscalls.ts";

/** Declares a test of what only root may do: mounts, devices, others' files. Skipped elsewhere, which its name says. */
export function testAsRoot(name: string, body: () => unknown): void {
  if (process.getuid?.() === 0) test(name, async () => void (await body()));
  else test.skip(`${name} [needs root]`, () => {});
}

// Source: linux/mount.h, linux/fcntl.h.
const [currentFolder, emptyPath, cloneTree, closeOnExec] = [-100, 0x1000, 1, 0o2000000];
const readOnlyAttribute = 1n;

/**
 * A small filesystem in memory, for root.
 * Shape: it stands nowhere among the mounts and is reached by a descriptor alone, so that it goes with this process however that ends. What
 * looks for the real path of a file (SQLite) finds another there.
 */
export class SmallDisk implements Disposable {
  readonly #tree: number;

  constructor(sizeBytes: number) {
    const kernel = createKernel();
    const place = mkdtempSync(join(tmpdir(), "small-disk-"));
    try {
      kernel.mount("tmpfs", place, "tmpfs", 0, `size=${sizeBytes}`);
      try {
        this.#tree = syscall("open_tree", [currentFolder, cString(place), cloneTree | closeOnExec]);
      } finally {
        kernel.unmount(place, unmountFlags.detach);
      }
    } finally {
      rmdirSync(place);
    }
  }

  get folder(): string {
    return `/proc/self/fd/${this.#tree}`;
  }

  /** Errors: SysError (EBUSY: somebody has a file open for writing). */
  makeReadOnly(isReadOnly: boolean): void {
    const [set, clear] = isReadOnly ? [readOnlyAttribute, 0n] : [0n, readOnlyAttribute];
    const attributes = new BigUint64Array([set, clear, 0n, 0n]);
    syscall("mount_setattr", [this.#tree, cString(""), emptyPath, attributes, attributes.byteLength]);
  }

  [Symbol.dispose](): void {
    closeSync(this.#tree);
  }
}

export interface RecordedCall {
  readonly name: keyof Kernel;
  readonly args: readonly unknown[];
}

export interface FakeKernel extends Kernel {
  /** Every call in order. */
  readonly calls: readonly RecordedCall[];
  /** Makes the next calls of that name fail with an errno; `times` is 1 when left out. */
  fail(name: keyof Kernel, errno: number, times?: number): void;
}

/** A kernel that does nothing but record what it was asked; `answers` gives results where undefined will not do. */
export function createFakeKernel(answers: Partial<Kernel> = {}): FakeKernel {
  const calls: RecordedCall[] = [];
  const failures = new Map<keyof Kernel, number[]>();
  const own = {
    calls,
    fail: (name: keyof Kernel, errno: number, times = 1) => {
      failures.set(name, [...(failures.get(name) ?? []), ...Array.from({ length: times }, () => errno)]);
    },
  };
  const call = (name: keyof Kernel, args: readonly unknown[]): unknown => {
    calls.push({ name, args });
    const errno = failures.get(name)?.shift();
    if (errno !== undefined) throw new SysError(name, errno);
    const answer = answers[name] as ((...args: readonly unknown[]) => unknown) | undefined;
    return answer?.(...args);
  };
  return new Proxy(own as unknown as FakeKernel, {
    get: (target, name) =>
      name in target
        ? target[name as keyof FakeKernel]
        : (...args: readonly unknown[]) => call(name as keyof Kernel, args),
  });
}
