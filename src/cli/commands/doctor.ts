import type { Command } from "../command.ts";
import { daemonChecks } from "../daemon-checks.ts";
import { type Check, machineChecks, runtimeChecks } from "../health-checks.ts";
import { printJson } from "../json.ts";
import type { Output } from "../output.ts";
import { styleOf } from "../style.ts";
import { wrapped } from "../wrap.ts";

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
    else for (const line of checks.flatMap((check) => lines(check, output))) output.line(line);
    if (!json) output.line(summary(checks));
    return failed ? 1 : 0;
  },
};

function lines(check: Check, output: Output): string[] {
  const style = styleOf(output.color);
  const width = output.terminal ? Math.max(40, output.columns) : Number.MAX_SAFE_INTEGER;
  const mark = { ok: style.green("ok  "), warn: style.yellow("warn"), fail: style.red("FAIL") }[check.result];
  const found = wrapped(check.found, width - margin.length).map((line, i) =>
    i === 0 ? `${mark}  ${style.bold(check.name.padEnd(nameWidth))}  ${line}` : `${margin}${line}`,
  );
  const advice = wrapped(check.advice ?? "", width - margin.length - 3).map((line, i) =>
    i === 0 ? `${margin}${style.dim("->")} ${line}` : `${margin}   ${line}`,
  );
  return check.advice === undefined ? found : [...found, ...advice];
}

const nameWidth = 12;
const margin = " ".repeat(4 + 2 + nameWidth + 2);

function summary(checks: readonly Check[]): string {
  const count = (result: Check["result"]): number => checks.filter((check) => check.result === result).length;
  const failed = count("fail");
  if (failed > 0) return `\n${failed} of ${checks.length} checks failed: see the arrows above.`;
  return count("warn") > 0 ? "\nContainers can run; the warnings say what is missing for more." : "\nAll is well.";
}
