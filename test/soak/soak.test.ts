import { describe, expect } from "bun:test";
import { daemonNeeds, type RuntimeName, testNeeding } from "../support/index.ts";
import { soak } from "./soak.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];

describe.each(runtimes)("a short soak on %s", (runtime) => {
  testNeeding(
    [...daemonNeeds(runtime), "ours"],
    "delivers every exit code and leaves nothing while daemon and host are killed again and again",
    async () => {
      const result = await soak({ runtime, count: 40, inFlight: 8, victim: "any", killAfterMs: [500, 2000] });
      expect(result.troubles).toEqual([]);
    },
    240_000,
  );
});
