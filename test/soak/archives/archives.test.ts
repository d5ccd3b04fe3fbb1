import { describe, expect, test } from "bun:test";
import { testNeeding } from "../../support/index.ts";
import { fuzzLayers } from "./fuzz.ts";
import { fuzzReaders } from "./readers.ts";

describe("archives that were made to do harm", () => {
  testNeeding(
    ["root", "overlayfs"],
    "touch nothing outside of their tree, and what is refused is refused by layer and entry",
    async () => {
      const { taken, refused, troubles } = await fuzzLayers({ seed: 20_000, count: 60, inFlight: 3 });
      expect(troubles).toEqual([]);
      expect([taken, refused].every((count) => count > 5)).toBe(true);
    },
    240_000,
  );

  test("are refused by the readers and by nothing else", async () => {
    expect(await fuzzReaders(1, 6000)).toEqual([]);
  }, 120_000);
});
