// Writes down what a newer containerd answers to the calls that Debian's does not know.
// usage: PATH=FOLDER-OF-CONTAINERD-2.1.9:$PATH bun test/contract/record.ts
import fs from "node:fs/promises";
import { startContainerd } from "../support/index.ts";
import { newerScenarios } from "./cases/newer.ts";
import { recordedFile } from "./recorded-answers.ts";
import { runScenario } from "./run-scenario.ts";
import { openSide } from "./side.ts";

const answers: Record<string, Record<string, string>> = {};
for (const scenario of newerScenarios) {
  await using daemon = await startContainerd();
  await using side = await openSide(daemon, daemon.workspace.folder);
  const outcomes = await runScenario(side, scenario);
  answers[scenario.namespace] = Object.fromEntries(outcomes.map(({ step, text }) => [step.name, text]));
}
await fs.writeFile(recordedFile, `${JSON.stringify(answers, undefined, 2)}\n`);
