import { describe, expect } from "bun:test";
import { daemonNeeds, type RuntimeName, testNeeding } from "../support/index.ts";
import { seekLeaks } from "./leaks.ts";

// More of it: LIGHTER_LEAK_CONTAINERS=2000 LIGHTER_LEAK_RUNTIME=runc bun test --timeout=3600000 test/soak/leaks.test.ts
const count = Number(process.env["LIGHTER_LEAK_CONTAINERS"] ?? 200);
const runtime = (process.env["LIGHTER_LEAK_RUNTIME"] ?? "crun") as RuntimeName;
const warmUp = 50;

/** The engine's heap breathes by some megabytes; a leak of 64 kB a container shows within 200 of them. */
const grownMax = 16 << 20;
/** Exits are remembered, 1024 of them at most, in about five objects each; beyond them, three more a container would show. */
const newObjectsMax = 1024 * 5 + 3 * (count - warmUp);
/** The runtime's own helpers come and go. */
const threadsMax = 3;

describe("a daemon and its host", () => {
  testNeeding(
    [...daemonNeeds(runtime), "ours"],
    `hold after ${count} containers with execs, streams of all kinds and failures what they held after ${warmUp}`,
    async () => {
      const report = (text: string): void => void (count > 200 && process.stderr.write(`${text}\n`));
      const { before, after, grown, newObjects } = await seekLeaks({ runtime, count, warmUp, inFlight: 4, report });
      for (const name of ["daemon", "host"] as const) {
        expect(after[name].descriptors).toEqual(before[name].descriptors);
        expect(after[name].threads - before[name].threads).toBeLessThanOrEqual(threadsMax);
        expect(grown[name]).toBeLessThan(grownMax);
      }
      const { daemon: _daemon, host: _host, ...rest } = after;
      expect(rest).toEqual({
        processes: before.processes,
        mounts: before.mounts,
        state: before.state,
        root: before.root,
        rows: before.rows,
      });
      expect(newObjects).toBeLessThan(newObjectsMax);
    },
    120_000 + count * 1_000,
  );
});
