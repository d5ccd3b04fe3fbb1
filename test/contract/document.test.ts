import { describe, expect, test } from "bun:test";
import fs from "node:fs";
import path from "node:path";
import { newerScenarios } from "./cases/newer.ts";
import { recordedScenarios } from "./cases/recorded.ts";
import { differencesOf } from "./compare.ts";
import { scenarios } from "./scenarios.ts";
import type { Scenario } from "./script.ts";

const text = fs.readFileSync(path.resolve(import.meta.dir, "../../docs/conformance.md"), "utf8");
const section = /\n## The contract suite\n([^]*?)(?=\n## |$)/.exec(text)?.[1] ?? "";
const steps = scenarios.flatMap((scenario) => scenario.steps.map((step) => ({ service: scenario.service, step })));

describe("docs/conformance.md", () => {
  test("counts the calls of each service", () => {
    const counted = Map.groupBy(steps, ({ service }) => service);
    const wanted = [...counted].map(([service, calls]) => `| ${service} | ${calls.length} |`).toSorted();
    expect([...section.matchAll(/^\| [a-z]+ \| \d+ \|$/gm)].map(([line]) => line).toSorted()).toEqual(wanted);
  });

  test("counts the calls that are held against newer ones", () => {
    const count = (all: readonly Scenario[]): number => all.reduce((sum, one) => sum + one.steps.length, 0);
    expect(section).toContain(`to ${count(newerScenarios)} further calls`);
    expect(section).toContain(`by the status of ${count(recordedScenarios.map(({ scenario }) => scenario))} more`);
  });

  test.each(["2.x", "ours"])("names each difference that is %s", (side) => {
    const all = steps.flatMap(({ step }) => differencesOf(step));
    const wanted = [...new Set(all.filter((difference) => difference.side === side).map(({ name }) => name))];
    const list = section
      .split("\n### ")
      .find((part) => part.startsWith(side === "ours" ? "lighter" : "containerd 2.x"));
    const lines = [...(list ?? "").matchAll(/^- (.*(?:\n {2}.*)*)/gm)].map(([, line = ""]) =>
      line.replaceAll(/\n +/g, " "),
    );
    expect(lines.toSorted()).toEqual(wanted.toSorted());
  });
});
