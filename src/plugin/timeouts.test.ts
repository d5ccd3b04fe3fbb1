import { describe, expect, test } from "bun:test";
import { createTimeLimits, isLiveTimeout, timeoutsSchema, withLiveTimeouts } from "./timeouts.ts";

const name = (key: string): string => `io.containerd.timeout.${key}`;
const silent = { unknown: () => {}, invalid: () => {} };

describe("time limits", () => {
  test("are containerd's where nothing is configured, and what is configured else", () => {
    const { boltOpenMs, shimStatsMs, shimCleanupMs, shimLoadMs, shimShutdownMs, taskStateMs } = createTimeLimits(
      timeoutsSchema.decode(undefined, [], silent),
    );
    expect([boltOpenMs, shimStatsMs, shimCleanupMs, shimLoadMs, shimShutdownMs, taskStateMs]).toEqual([
      0, 2_000, 5_000, 5_000, 3_000, 2_000,
    ]);
    const given = { [name("task.state")]: "1m", [name("shim.load")]: "1000000h" };
    const limits = createTimeLimits(timeoutsSchema.decode(given, [], silent));
    expect([limits.taskStateMs, limits.shimLoadMs, limits.shimShutdownMs]).toEqual([60_000, 2 ** 31 - 1, 3_000]);
  });

  test("change for whoever keeps them when they are replaced", () => {
    const limits = createTimeLimits();
    limits.replace(new Map([[name("shim.cleanup"), 7_000]]));
    expect([limits.shimCleanupMs, limits.taskStateMs]).toEqual([7_000, 2_000]);
  });

  test("that count at the start alone stay as they were", () => {
    const [now, next] = [
      new Map([
        [name("bolt.open"), 1],
        [name("task.state"), 1],
      ]),
      new Map([
        [name("bolt.open"), 2],
        [name("task.state"), 2],
      ]),
    ];
    expect(Object.fromEntries(withLiveTimeouts(now, next))).toEqual({
      [name("bolt.open")]: 1,
      [name("task.state")]: 2,
    });
    expect([isLiveTimeout(name("shim.load")), isLiveTimeout(name("bolt.open")), isLiveTimeout("mine")]).toEqual([
      true,
      false,
      false,
    ]);
  });
});
