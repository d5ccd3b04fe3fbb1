import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { startContainerd, startLighter, testNeeding, writeBusyboxRootfs } from "../support/index.ts";
import { newerScenarios } from "./cases/newer.ts";
import { recordedScenarios } from "./cases/recorded.ts";
import { compareOutcomes } from "./compare.ts";
import { recordedOutcomes } from "./recorded-answers.ts";
import { runScenario } from "./run-scenario.ts";
import { scenarios } from "./scenarios.ts";
import { openSide, type Side } from "./side.ts";

const needs = ["ctr", "containerd", "lighterd", "overlayfs", "root", "runc", "busybox"] as const;
/** Nothing is collected before a call waits for it, which the last ones do: when it would be depends on the machine. */
const config = `[plugins."io.containerd.gc.v1.scheduler"]
startup_delay = "1h"
deletion_threshold = 100000
mutation_threshold = 0
`;

describe("lighterd answers as containerd", () => {
  const stack = new AsyncDisposableStack();
  let sides: readonly [mine: Side, theirs: Side];

  beforeAll(async () => {
    const [mine, theirs] = await Promise.all([startLighter({ config }), startContainerd({ config })]);
    stack.use(mine);
    stack.use(theirs);
    const rootfs = `${mine.workspace.folder}/busybox`;
    await writeBusyboxRootfs(rootfs);
    sides = [stack.use(await openSide(mine, rootfs)), stack.use(await openSide(theirs, rootfs))];
  }, 60_000);
  afterAll(() => stack.disposeAsync(), 60_000);

  for (const scenario of scenarios) {
    testNeeding(needs, `${scenario.service}: ${scenario.name} (${scenario.steps.length} calls)`, async () => {
      const [mine, theirs] = await Promise.all(sides.map((side) => runScenario(side, scenario)));
      const problems = compareOutcomes(scenario, mine ?? [], theirs ?? []);
      if (problems.length > 0) throw new Error(`- containerd, + lighterd\n\n${problems.join("\n\n")}\n`);
    });
  }
});

describe("lighterd answers as containerd 2.x's source says", () => {
  const side = lighterSide();

  for (const { scenario, statuses } of recordedScenarios) {
    testNeeding(needs, `${scenario.service}: ${scenario.name} (${scenario.steps.length} calls)`, async () => {
      const outcomes = await runScenario(side(), scenario);
      const got = outcomes.map(({ step, text }) => `${step.name}: ${/^status (.*)/.exec(text)?.[1] ?? ""}`);
      expect(got).toEqual(scenario.steps.map((step, index) => `${step.name}: ${statuses[index] ?? ""}`));
    });
  }
});

describe("lighterd answers as containerd 2.1.9 did", () => {
  const side = lighterSide();

  for (const scenario of newerScenarios) {
    testNeeding(needs, `${scenario.service}: ${scenario.name} (${scenario.steps.length} calls)`, async () => {
      const problems = compareOutcomes(scenario, await runScenario(side(), scenario), recordedOutcomes(scenario));
      if (problems.length > 0) throw new Error(`- containerd, + lighterd\n\n${problems.join("\n\n")}\n`);
    });
  }
});

test("at least 300 calls are compared", () => {
  expect(scenarios.reduce((sum, { steps }) => sum + steps.length, 0)).toBeGreaterThanOrEqual(300);
});

/** A daemon of lighter's alone for the tests of a group; there from the first of them on. */
function lighterSide(): () => Side {
  const stack = new AsyncDisposableStack();
  let side: Side;
  beforeAll(async () => {
    const daemon = stack.use(await startLighter({ config }));
    side = stack.use(await openSide(daemon, daemon.workspace.folder));
  }, 60_000);
  afterAll(() => stack.disposeAsync(), 60_000);
  return () => side;
}
