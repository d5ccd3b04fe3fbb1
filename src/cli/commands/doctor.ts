import type { Command } from "../command.ts";
import { daemonChecks } from "../daemon-checks.ts";
import { type Check, machineChecks, runtimeChecks } from "../health-checks.ts";
import { printJson } from "../json.ts";
import { styleOf } from "../style.ts";

export const command: Command = {
  summary: "Check this machine and the daemon, and say what to do",
  usage: "",
  options: [],
  examples: [
    ["lighter doctor", "is everything in place?"],
    ["lighter doctor --json", "the same for programs"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { output, json } = context;
    const groups = await Promise.all([machineChecks(), runtimeChecks(), daemonChecks(context)]);
    const checks = groups.flat();
    const failed = checks.some(({ result }) => result === "fail");
    if (json) printJson(output, checks);
    else for (const line of checks.flatMap((check) => lines(check, output.color))) output.line(line);
    if (!json) output.line(summary(checks));
    return failed ? 1 : 0;
  },
};

function lines(check: Check, color: boolean): string[] {
  const style = styleOf(color);
  const mark = { ok: style.green("ok  "), warn: style.yellow("warn"), fail: style.red("FAIL") }[check.result];
  const advice = check.advice === undefined ? [] : [`      ${style.dim("->")} ${check.advice}`];
  return [`${mark}  ${style.bold(check.name.padEnd(12))}  ${check.found}`, ...advice];
}

function summary(checks: readonly Check[]): string {
  const count = (result: Check["result"]): number => checks.filter((check) => check.result === result).length;
  const failed = count("fail");
  if (failed > 0) return `\n${failed} of ${checks.length} checks failed: see the arrows above.`;
  return count("warn") > 0 ? "\nContainers can run; the warnings say what is missing for more." : "\nAll is well.";
}
