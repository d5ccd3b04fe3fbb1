import type { Kernel } from "./kernel.ts";
import { SysError } from "./sys-error.ts";

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
