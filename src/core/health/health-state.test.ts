import { describe, expect, test } from "bun:test";
import { formatHealthView, healthViewOf, parseHealthCheck } from "../../lib/health-labels.ts";
import {
  afterProbe,
  formatHealthState,
  type HealthState,
  newHealthState,
  nextProbeMs,
  parseHealthState,
} from "./health-state.ts";

const second = 1e9;
const check = parseHealthCheck(
  JSON.stringify({
    Test: ["CMD", "ok"],
    Interval: second,
    Retries: 2,
    StartPeriod: 10 * second,
    StartInterval: second / 2,
  }),
);
if (check === undefined) throw new Error("no check");

/** The states after checks that ended at these seconds, with these codes. */
function after(...probes: readonly (readonly [second: number, code: number])[]): HealthState {
  return probes.reduce<HealthState>(
    (state, [at, exitCode]) => {
      return afterProbe(state, check as NonNullable<typeof check>, {
        startedMs: at * 1000,
        endedMs: at * 1000,
        exitCode,
        output: `${at}`,
      });
    },
    newHealthState(7, 0),
  );
}

describe("parseHealthCheck", () => {
  test.each([
    ['{"Test":["CMD-SHELL","curl -f http://x || exit 1"]}', ["/bin/sh", "-c", "curl -f http://x || exit 1"]],
    ['{"Test":["CMD","a","b c"]}', ["a", "b c"]],
    ['{"Test":["a","b"]}', ["a", "b"]],
    ['{"Test":["NONE"]}', undefined],
    ['{"Test":[]}', undefined],
    ['{"Test":null,"Interval":5}', undefined],
    ["{}", undefined],
  ])("reads %s", (text, args) => {
    expect(parseHealthCheck(text)?.args).toEqual(args as string[]);
  });

  test("has docker's defaults, and bounds what a loop of checks would be", () => {
    expect(parseHealthCheck('{"Test":["x"],"Interval":0,"Retries":-1}')).toEqual({
      args: ["x"],
      intervalMs: 30_000,
      timeoutMs: 30_000,
      startPeriodMs: 0,
      startIntervalMs: 5000,
      retries: 3,
    });
    expect(parseHealthCheck('{"Test":["x"],"Interval":1}')?.intervalMs).toBe(50);
  });

  test.each([
    "",
    "[",
    "7",
    "null",
    '{"Test":"x"}',
    '{"Test":[1]}',
    '{"Test":["CMD"]}',
    '{"Test":["CMD-SHELL"," "]}',
    '{"Test":["x"],"Interval":"5s"}',
  ])("refuses %s", (text) => expect(() => parseHealthCheck(text)).toThrow("health check"));
});

describe("afterProbe", () => {
  test("counts nothing in the start period until the first success", () => {
    expect(after([1, 1], [2, 1], [3, 1])).toMatchObject({ status: "starting", failingStreak: 0 });
    expect(after([1, 1], [2, 0])).toMatchObject({ status: "healthy", failingStreak: 0 });
    expect(after([1, 0], [2, 1])).toMatchObject({ status: "healthy", failingStreak: 1 });
    expect(after([1, 0], [2, 1], [3, 1])).toMatchObject({ status: "unhealthy", failingStreak: 2 });
    expect(after([11, 1])).toMatchObject({ status: "starting", failingStreak: 1 });
    expect(after([11, 1], [12, -1], [13, 127])).toMatchObject({ status: "unhealthy", failingStreak: 3 });
    expect(after([11, 1], [12, 1], [13, 0])).toMatchObject({ status: "healthy", failingStreak: 0 });
  });

  test("keeps the last five", () => {
    expect(after([1, 1], [2, 1], [3, 1], [4, 1], [5, 1], [6, 1], [7, 0]).probes.map(({ output }) => output)).toEqual([
      "3",
      "4",
      "5",
      "6",
      "7",
    ]);
  });

  test("waits for another interval in the start period", () => {
    expect([after([1, 1]), after([1, 0]), after([11, 1])].map((state) => nextProbeMs(state, check, 2000))).toEqual([
      500, 1000, 500,
    ]);
    expect(nextProbeMs(after([11, 1]), check, 11_000)).toBe(1000);
  });

  test("is read back from its file, and from nothing else", () => {
    const state = after([1, 0], [2, 1]);
    expect(parseHealthState(formatHealthState(state))).toEqual(expect.objectContaining({ ...state }));
    for (const text of ["", "{", "null", "[]", '{"version":2}', formatHealthState(state).replace("healthy", "well")])
      expect(parseHealthState(text)).toBeUndefined();
  });
});

describe("healthViewOf", () => {
  test("reads what nerdctl and the daemon write", () => {
    const label = formatHealthView({ status: "unhealthy", failingStreak: 4 }, false);
    expect(label).toBe('{"Status":"unhealthy","FailingStreak":4,"InStartPeriod":false}');
    expect(healthViewOf({ "nerdctl/healthstate": label })).toEqual({ status: "unhealthy", failingStreak: 4 });
    for (const text of ["", "{", "null", '{"Status":"none"}']) {
      expect(healthViewOf({ "nerdctl/healthstate": text })).toBeUndefined();
    }
  });
});
