import { expect, test } from "bun:test";
import { FaultError } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import type { Fd, FdWatch, FdWatcher } from "../../sys/index.ts";
import { pollEvents } from "../../sys/index.ts";
import { createFakeKernel } from "../../sys/testing.ts";
import { type ProcessExit, ProcessHandle } from "./process-handle.ts";

/** A watcher with one descriptor, which is always readable while it is asked about that. */
class ReadableWatcher implements FdWatcher {
  #callback: ((events: number) => void) | undefined;

  watch(_fd: Fd, events: number, callback: (events: number) => void): FdWatch {
    this.#callback = callback;
    const change = (wanted: number): void => {
      if ((wanted & pollEvents.readable) !== 0) queueMicrotask(() => this.#callback?.(wanted));
    };
    change(events);
    const dispose = (): void => {
      this.#callback = undefined;
    };
    return { change, [Symbol.dispose]: dispose } as FdWatch;
  }

  [Symbol.dispose](): void {
    this.#callback = undefined;
  }
}

test("ProcessHandle.onExit tells of a child that its tracer let go only later", async () => {
  const answers = [undefined, undefined, { pid: 7, exitStatus: 3 }];
  const kernel = createFakeKernel({ reap: () => answers.shift() as never });
  using handle = new ProcessHandle({
    kernel,
    watcher: new ReadableWatcher(),
    pid: 7,
    startTime: 1,
    pidfd: -1 as Fd,
    now: () => Instant.ofMs(0),
  });
  const { promise, resolve } = Promise.withResolvers<ProcessExit>();
  handle.onExit(resolve);
  expect(await promise).toEqual({ status: 3, known: true, at: Instant.ofMs(0) });
  expect(kernel.calls.filter((call) => call.name === "reap")).toHaveLength(3);
});

test("ProcessHandle.signal of a process that is gone says that it has finished", () => {
  const kernel = createFakeKernel();
  kernel.fail("pidfdSignal", 3);
  using handle = new ProcessHandle({
    kernel,
    watcher: new ReadableWatcher(),
    pid: 7,
    startTime: 1,
    pidfd: -1 as Fd,
    now: () => Instant.ofMs(0),
  });
  expect(() => handle.signal(15)).toThrow(FaultError);
});
