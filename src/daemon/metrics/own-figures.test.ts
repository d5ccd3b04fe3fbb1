import { heapStats } from "bun:jsc";
import { describe, expect, test } from "bun:test";
import { readdirSync } from "node:fs";
import { OwnFigures } from "./own-figures.ts";
import { openDescriptors } from "./process-facts.ts";

const nothing = { tasks: undefined, gc: undefined, metadata: undefined, exchange: undefined, missing: () => 0 };

/** How long the longest of the page's pieces kept the event loop, in milliseconds. */
async function longestPiece(figures: OwnFigures): Promise<number> {
  let longest = 0;
  const pieces = figures.text();
  for (;;) {
    const began = performance.now();
    const { done } = await pieces.next();
    if (done === true) return longest;
    longest = Math.max(longest, performance.now() - began);
  }
}

describe("OwnFigures", () => {
  test("are read without walking the heap", async () => {
    const kept = Array.from({ length: 1_000_000 }, (_, number) => ({ number }));
    using figures = new OwnFigures(nothing);
    const [pieces, walks]: [number[], number[]] = [[], []];
    // The least of several: a collection, or another process, may hold up one of them.
    for (let round = 0; round < 7; round++) {
      pieces.push(await longestPiece(figures));
      const began = performance.now();
      heapStats();
      walks.push(performance.now() - began);
    }
    expect(kept.length).toBe(1_000_000);
    expect(Math.min(...pieces)).toBeLessThan(Math.min(...walks) / 2);
  });

  test("tell how many descriptors are open", () => {
    // Other threads of the runtime may open or close one between the two.
    const isRight = (): boolean => openDescriptors() === readdirSync("/proc/self/fd").length - 1;
    expect(Array.from({ length: 20 }, isRight)).toContain(true);
  });
});
