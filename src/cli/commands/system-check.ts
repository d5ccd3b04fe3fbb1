import type { CheckResponse, CheckResponse_Problem } from "../../gen/lighter/system/v1/system_pb.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { startProgress } from "../progress.ts";
import { styleOf } from "../style.ts";
import { systemFault } from "../system-fault.ts";
import { printable } from "../table.ts";
import { plural } from "../units.ts";

export const command: Command = {
  summary: "Compare what the daemon's stores say with what is on disk",
  usage: "[OPTIONS]",
  description:
    "Of all namespaces, while the daemon works. The exit code is 1 when something is broken; what is only left over, and takes nothing but room, counts with --strict.",
  options: [
    { long: "deep", help: "Read every blob and compare its digest" },
    { long: "strict", help: "Exit with 1 for leftovers, too" },
  ],
  examples: [
    ["lighter system check", "is everything there that should be?"],
    ["lighter system check --deep", "and is it what it was?"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const answer = await check(context).catch((error: unknown) => {
      throw systemFault(error, "system check", "lighter image check looks at images, whatever the daemon is");
    });
    const broken = answer.problems.filter((problem) => problem.broken).length;
    if (json) printJson(output, answer);
    else printAnswer(context, answer, broken);
    return broken > 0 || (args.flag("strict") && answer.problemCount > 0n) ? 1 : 0;
  },
};

async function check({ client, args, output }: CommandContext): Promise<CheckResponse> {
  const deep = args.flag("deep");
  if (!deep) return await client.system.check({ deep });
  using progress = startProgress(output, "reading every blob", undefined, "seconds");
  let seconds = 0;
  const timer = setInterval(() => progress.at(++seconds), 1000);
  try {
    return await client.system.check({ deep });
  } finally {
    clearInterval(timer);
  }
}

function printAnswer({ args, output }: CommandContext, answer: CheckResponse, broken: number): void {
  const style = styleOf(output.color);
  for (const problem of answer.problems) output.line(problemLine(problem, style));
  const untold = Number(answer.problemCount) - answer.problems.length;
  if (untold > 0) output.line(`… and ${untold} more`);
  const looked = [
    plural(Number(answer.blobs), "blob"),
    plural(Number(answer.snapshots), "snapshot"),
    plural(Number(answer.ingests), "unfinished blob"),
  ].join(", ");
  const how = args.flag("deep") ? "read" : "looked at";
  const left = Number(answer.problemCount) - broken;
  if (broken > 0) output.line(style.red(`${plural(broken, "thing")} broken; ${how} ${looked}`));
  else if (left > 0) output.line(style.yellow(`${plural(left, "thing")} left over, nothing broken; ${how} ${looked}`));
  else output.line(`${style.green("all is well")}: ${how} ${looked}`);
  if (broken > 0)
    output.note("hint: lighter image check says which images lack something; lighter pull fetches it again");
  else if (left > 0) output.note("hint: lighter system gc, or the daemon's next start, takes leftovers away");
}

function problemLine(problem: CheckResponse_Problem, style: ReturnType<typeof styleOf>): string {
  const mark = problem.broken ? style.red("broken") : style.yellow("left  ");
  // What a row knows is named in the message; of anything else only its place is known.
  const isTold = problem.object !== undefined || problem.path === "" || problem.message.includes(problem.path);
  const where = isTold ? "" : style.dim(`  ${printable(problem.path)}`);
  const namespace = problem.object?.namespace ?? "";
  const whose = namespace === "" ? "" : `${printable(namespace)}: `;
  return `${mark}  ${whose}${printable(problem.message)}${where}`;
}
