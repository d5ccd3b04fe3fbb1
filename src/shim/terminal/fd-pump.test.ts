import { describe, expect, test } from "bun:test";
import { type FdWatcher, type Kernel, SysError } from "../../sys/index.ts";
import { FdPump } from "./fd-pump.ts";

const [EIO, EDQUOT] = [5, 122];

/** A pump over what is scripted: sizes of pieces, "later" where there is nothing, "gone" once the last user has closed. */
function bed(script: readonly (number | "later" | "gone")[], gathers: boolean) {
  const left = [...script];
  const seen = { written: 0, ends: 0, reads: 0 };
  const kernel = {
    readNow: (_fd: number, into: Uint8Array) => {
      seen.reads++;
      const next = left.shift() ?? "later";
      if (next === "gone") throw new SysError("read", EIO);
      return next === "later" ? undefined : into.fill(65, 0, next) && next;
    },
    write: (_fd: number, bytes: Uint8Array) => {
      seen.written += bytes.length;
      return bytes.length;
    },
    yieldProcessor: () => {},
  } as unknown as Kernel;
  let wake = (): void => {};
  const watcher = {
    watch: (_fd: number, _events: number, onReady: () => void) => {
      wake = onReady;
      return { change: () => {}, [Symbol.dispose]: () => {} };
    },
  } as unknown as FdWatcher;
  const pump = new FdPump({ kernel, watcher, from: 3, to: 4, gathers, onEnd: () => seen.ends++ });
  return { pump, seen, wake: () => wake() };
}

describe("FdPump of a terminal", () => {
  test("takes what the terminal holds behind a first nothing when its process has ended", () => {
    const { pump, seen, wake } = bed([10, "later", "later", 300, "later", "later"], true);
    wake();
    expect(seen).toMatchObject({ written: 10, ends: 0 });
    pump.drain();
    expect(seen).toMatchObject({ written: 310, ends: 1 });
  });

  test("takes what the terminal holds behind a first end", () => {
    const { seen, wake } = bed([10, "gone", 300, "gone", "gone"], true);
    wake();
    expect(seen).toMatchObject({ written: 310, ends: 1 });
  });

  test("asks once while its process runs", () => {
    const { seen, wake } = bed([10, "later", 5], true);
    wake();
    expect(seen).toMatchObject({ written: 10, ends: 0, reads: 2 });
  });
});

test("an FdPump of a FIFO ends with the first end", () => {
  const { seen, wake } = bed([10, 0, 5], false);
  wake();
  expect(seen).toMatchObject({ written: 10, ends: 1, reads: 2 });
});

test("an FdPump ends where its receiver has no room, and does not fail who drains it", () => {
  const seen = { ends: 0 };
  const kernel = {
    readNow: (_fd: number, into: Uint8Array) => into.length,
    write: () => {
      throw new SysError("write", EDQUOT);
    },
  } as unknown as Kernel;
  const watcher = { watch: () => ({ change: () => {}, [Symbol.dispose]: () => {} }) } as unknown as FdWatcher;
  const pump = new FdPump({ kernel, watcher, from: 3, to: 4, gathers: false, onEnd: () => seen.ends++ });
  expect(() => pump.drain()).not.toThrow();
  expect(seen.ends).toBe(1);
});
