import { describe, expect } from "bun:test";
import { daemonNeeds, testNeeding } from "../support/index.ts";
import { crashStore } from "./store-crashes.ts";

// More of it: LIGHTER_STORE_CRASHES=200 LIGHTER_STORE_SEED=7 bun test --timeout=3600000 test/soak/store-crashes.test.ts
const points = Number(process.env["LIGHTER_STORE_CRASHES"] ?? 8);
const seed = Number(process.env["LIGHTER_STORE_SEED"] ?? 1);

describe("the stores", () => {
  testNeeding(
    [...daemonNeeds(), "ours", "docker-registry", "skopeo"],
    "are whole after the daemon was killed at any point of writing, pulling, importing, unpacking and collecting",
    async () => {
      const lines: string[] = [];
      const troubles = await crashStore({ points, seed, report: (text) => void lines.push(text) });
      if (points > 8 || troubles.length > 0) process.stderr.write(`${lines.join("\n")}\n`);
      expect(troubles).toEqual([]);
    },
    points * 30_000,
  );
});
