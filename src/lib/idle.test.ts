import { describe, expect, jest, test } from "bun:test";
import { watchIdle } from "./idle.ts";

describe("watchIdle", () => {
  test("acts once for each change from busy to idle", () => {
    jest.useFakeTimers();
    try {
      let cpu = 0;
      let actions = 0;
      using _watch = watchIdle({ intervalMs: 1000, quietMicros: 100, cpuMicros: () => cpu, action: () => actions++ });
      const pass = (used: number): number => {
        cpu += used;
        jest.advanceTimersByTime(1000);
        return actions;
      };
      expect([pass(500), pass(50), pass(50), pass(500), pass(500), pass(0), pass(0)]).toEqual([0, 1, 1, 1, 1, 2, 2]);
    } finally {
      jest.useRealTimers();
    }
  });
});
