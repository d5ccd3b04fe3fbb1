import { afterAll, describe, expect, test } from "bun:test";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { LogRecorder, logAddress, logTargetOf, readLogTimes, targetsOf, timesPathOf } from "./index.ts";

const folder = fs.mkdtempSync(path.join(os.tmpdir(), "lighter-output-log-"));
afterAll(() => fs.rmSync(folder, { recursive: true, force: true }));

let last = 0;
function newLog(): string {
  const log = path.join(folder, `${++last}.log`);
  fs.writeFileSync(log, "");
  return log;
}

type Hole = readonly [offset: number, length: number];

function recorderOf(log: string, maxBytes = 0, holes: Hole[] = []): LogRecorder {
  const punchHole = (_fd: number, offset: number, length: number): void => void holes.push([offset, length]);
  return new LogRecorder({ target: { path: log, maxBytes }, punchHole });
}

describe("logAddress", () => {
  test.each(["/var/lib/a.log", "/with space/ü?#%.log"])("is read back: %s", (log) => {
    const address = logAddress({ path: log, maxBytes: 7 });
    expect(logTargetOf(address)).toEqual({ path: log, maxBytes: 7 });
    expect(decodeURIComponent(new URL(address).pathname)).toBe(log);
  });

  test.each(["", "/a/path", "fifo:///a?log=timed", "file:///a", "file:///a?log=other", "file://%"])(
    "asks for no log: %s",
    (address) => {
      expect(logTargetOf(address)).toBeUndefined();
    },
  );

  test("says whether the streams are apart, and where each is", () => {
    const target = { path: "/a b", maxBytes: 5, apart: true };
    expect(logTargetOf(logAddress(target))).toEqual(target);
    expect(targetsOf(target).map(({ path }) => path)).toEqual(["/a b", "/a b.stderr"]);
    expect(targetsOf({ path: "/a", maxBytes: 0 })).toEqual([{ path: "/a", maxBytes: 0 }]);
  });

  test("takes a bound that is none for no bound", () => {
    expect(logTargetOf("file:///a?log=timed&max-bytes=-3")).toEqual({ path: "/a", maxBytes: 0 });
  });
});

describe("LogRecorder", () => {
  test("tells when each byte came, also after it was taken up again", () => {
    const log = newLog();
    const recorder = recorderOf(log);
    fs.appendFileSync(log, "one\n");
    recorder.note(1000);
    recorder.note(1500);
    fs.appendFileSync(log, "two\n");
    recorderOf(log).note(2000);
    const times = readLogTimes(log);
    expect([0, 3, 4, 7, 8].map((offset) => times?.timeOf(offset))).toEqual([1000, 1000, 2000, 2000, undefined]);
    expect([0, 1000, 1001, 2000, 2001].map((ms) => times?.offsetSince(ms))).toEqual([0, 0, 4, 4, 8]);
    expect([999, 1000, 1999, 2000].map((ms) => times?.offsetAfter(ms))).toEqual([0, 4, 4, 8]);
  });

  test("never goes back in time", () => {
    const log = newLog();
    const recorder = recorderOf(log);
    fs.appendFileSync(log, "a");
    recorder.note(2000);
    fs.appendFileSync(log, "b");
    recorder.note(1000);
    expect(readLogTimes(log)?.timeOf(1)).toBe(2000);
  });

  test("says of what was there before it that nobody knows", () => {
    const log = newLog();
    fs.writeFileSync(log, "old\n");
    const recorder = recorderOf(log);
    fs.appendFileSync(log, "new\n");
    recorder.note(1000);
    expect([0, 4].map((offset) => readLogTimes(log)?.timeOf(offset))).toEqual([0, 1000]);
  });

  test("goes on behind an entry that a death cut short, and behind a file that is none of times", () => {
    const log = newLog();
    fs.appendFileSync(log, "a");
    recorderOf(log).note(1000);
    fs.appendFileSync(timesPathOf(log), "torn");
    fs.appendFileSync(log, "b");
    recorderOf(log).note(2000);
    expect(readLogTimes(log)?.timeOf(1)).toBe(2000);
    fs.writeFileSync(timesPathOf(log), "something else, of enough bytes");
    expect(readLogTimes(log)).toBeUndefined();
    recorderOf(log).note(3000);
    expect(readLogTimes(log)?.timeOf(0)).toBe(0);
  });

  test("makes the file of times again when somebody removed it, and still knows what was dropped", () => {
    const log = newLog();
    const recorder = recorderOf(log, 64 * 1024);
    fs.appendFileSync(log, new Uint8Array(80 * 1024));
    recorder.note(1000);
    const { start = 0 } = readLogTimes(log) ?? {};
    expect(start).toBeGreaterThan(0);
    fs.rmSync(timesPathOf(log));
    fs.appendFileSync(log, "new\n");
    recorder.note(2000);
    const times = readLogTimes(log);
    expect(times?.start).toBe(start);
    expect([start, 80 * 1024].map((offset) => times?.timeOf(offset))).toEqual([0, 2000]);
  });

  test("begins anew when the log was emptied", () => {
    const log = newLog();
    const recorder = recorderOf(log);
    fs.appendFileSync(log, "long enough\n");
    recorder.note(1000);
    fs.truncateSync(log, 0);
    fs.appendFileSync(log, "new\n");
    recorder.note(2000);
    expect(readLogTimes(log)?.timeOf(0)).toBe(2000);
    expect(readLogTimes(log)?.ends.length).toBe(1);
  });

  test("drops the oldest blocks when the bound is passed, and tells readers first", () => {
    const log = newLog();
    const holes: Hole[] = [];
    const recorder = recorderOf(log, 64 * 1024, holes);
    for (let time = 1; time <= 20; time++) {
      fs.appendFileSync(log, new Uint8Array(8 * 1024));
      recorder.note(time);
      const kept = 8 * 1024 * time - (readLogTimes(log)?.start ?? 0);
      expect(kept).toBeLessThanOrEqual(72 * 1024 + 4096);
    }
    expect(readLogTimes(log)?.start).toBe(holes.reduce((sum, [, length]) => sum + length, 0));
    expect(holes.every(([offset, length]) => offset % 4096 === 0 && length % 4096 === 0)).toBe(true);
  });

  test("keeps everything where the filesystem knows no holes, and says so once", () => {
    const log = newLog();
    const punchHole = (): void => {
      throw new Error("not supported");
    };
    const recorder = new LogRecorder({ target: { path: log, maxBytes: 4096 }, punchHole });
    fs.appendFileSync(log, new Uint8Array(20_000));
    expect(() => recorder.note(1)).toThrow("not supported");
    fs.appendFileSync(log, new Uint8Array(20_000));
    recorder.note(2);
    expect(readLogTimes(log)?.start).toBe(0);
  });

  test("thins the times of a log that grew very often", () => {
    const log = newLog();
    const recorder = recorderOf(log);
    for (let time = 1; time <= 17_000; time++) {
      fs.appendFileSync(log, "x");
      recorder.note(time);
    }
    const times = readLogTimes(log);
    expect(times?.ends.length).toBeLessThan(16_384);
    expect(times?.timeOf(16_999)).toBe(17_000);
    expect(Math.abs((times?.timeOf(100) ?? 0) - 101)).toBeLessThan(4);
  });
});
