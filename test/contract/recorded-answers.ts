import fs from "node:fs";
import path from "node:path";
import type { Outcome } from "./run-scenario.ts";
import type { Scenario } from "./script.ts";

/** Scenarios by their namespaces, their calls by name, and what containerd 2.1.9 answered. `record.ts` writes it. */
export const recordedFile: string = path.join(import.meta.dir, "recorded-2.1.9.json");

/** What containerd 2.1.9 answered to a scenario's calls. Errors: when one of them was not recorded. */
export function recordedOutcomes({ namespace, steps }: Scenario): readonly Outcome[] {
  const all = JSON.parse(fs.readFileSync(recordedFile, "utf8")) as Record<string, Record<string, string>>;
  return steps.map((step) => {
    const text = all[namespace]?.[step.name];
    if (text === undefined) throw new Error(`${namespace}: ${step.name} is not recorded; run test/contract/record.ts`);
    return { step, text };
  });
}
