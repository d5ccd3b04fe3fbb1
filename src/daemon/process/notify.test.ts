import { describe, expect, test } from "bun:test";
import { silentLogger } from "../../lib/log.ts";
import { monotonicMicroseconds } from "../../sys/index.ts";
import { managerEnvironment, managerFacts, serviceManagerOf } from "./notify.ts";

describe("managerFacts", () => {
  test("takes what the manager says out of the environment", () => {
    const env = { NOTIFY_SOCKET: "@x", WATCHDOG_USEC: "3000000", WATCHDOG_PID: String(process.pid), PATH: "/bin" };
    expect(managerFacts(env)).toEqual({ socket: "@x", watchdogMs: 3000 });
    expect(Object.keys(env)).toEqual(["PATH"]);
  });

  test.each([
    [{ WATCHDOG_USEC: "3000000", WATCHDOG_PID: "1" }],
    [{ WATCHDOG_USEC: "soon" }],
    [{ WATCHDOG_USEC: "0" }],
    [{ WATCHDOG_USEC: "-3000000" }],
    [{ NOTIFY_SOCKET: "" }],
    [{}],
  ])("finds no watchdog and no socket in %p", (env: Record<string, string>) => {
    expect(managerFacts({ ...env })).toEqual({ socket: undefined, watchdogMs: undefined });
  });
});

describe("managerEnvironment", () => {
  test("gives a successor what this process was given", () => {
    const facts = { socket: "/run/notify", watchdogMs: 2500 };
    expect(managerFacts({ ...managerEnvironment(facts) })).toEqual(facts);
    expect(managerEnvironment({ socket: undefined, watchdogMs: 5 })).toEqual({});
  });
});

describe("ServiceManager", () => {
  test("says nothing where there is none", () => {
    const manager = serviceManagerOf({ socket: undefined, watchdogMs: undefined }, silentLogger);
    using _watch = manager.watch();
    manager.ready("");
    manager.stopping("");
    expect(manager.isThere).toBe(false);
  });

  test("does not fail where the manager is gone", () => {
    const manager = serviceManagerOf({ socket: "/nowhere/notify", watchdogMs: undefined }, silentLogger);
    expect(() => manager.ready("up")).not.toThrow();
  });
});

test("monotonicMicroseconds is the kernel's clock", async () => {
  const uptime = await Bun.file("/proc/uptime").text();
  // /proc/uptime counts the time asleep as well: no machine that runs this slept in between.
  expect(Number(monotonicMicroseconds()) / 1e6).toBeGreaterThan(0);
  expect(Number(monotonicMicroseconds()) / 1e6).toBeLessThan(Number(uptime.split(" ")[0]) + 60);
});
