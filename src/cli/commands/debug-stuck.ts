import type { CallsResponse_Call } from "../../gen/lighter/debug/v1/debug_pb.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { styleOf } from "../style.ts";
import { systemFault } from "../system-fault.ts";
import { type Column, printTable } from "../table.ts";
import { formatSpan, plural } from "../units.ts";
import { UsageError } from "../usage-error.ts";

/** They end when something happens, or never: that they are old says nothing. */
const waitByNature = /\/(?:Subscribe|Wait|WaitSandbox|Watch|Stream)$/;
const defaultSeconds = 1;

export const command: Command = {
  summary: "Show which calls are under way, and what each waits for",
  usage: "[OPTIONS]",
  description:
    "Of all namespaces, the oldest first: how old a call is, who made it, and the step at which it is. Calls that wait by nature, for events or a container's end, are left out without --all. Where the daemon does not answer at all, kill -USR1 has it write the same to its log as soon as it can.",
  options: [
    { long: "all", short: "a", help: "Calls that wait by nature, too, and those that are young" },
    { long: "older-than", value: "SECONDS", help: `Only calls of at least that age (default ${defaultSeconds})` },
  ],
  examples: [
    ["lighter debug stuck", "what hangs, and at what?"],
    ["lighter debug stuck --older-than 30", "only what has been here for half a minute"],
    ["lighter debug stuck -a --json", "every call, for a program"],
  ],
  words: [0, 0],
  json: true,
  run: async ({ args, client, json, output }) => {
    const least = seconds(args.text("older-than"), args.flag("all") ? 0 : defaultSeconds);
    const { calls } = await client.debug.calls({}).catch((error: unknown) => {
      throw systemFault(error, "debug stuck", "ctr pprof --debug-socket ... goroutines shows what a containerd does");
    });
    const old = calls.filter(({ ageSeconds }) => ageSeconds >= least);
    const shown = args.flag("all") ? old : old.filter(({ method }) => !waitByNature.test(method));
    if (json) {
      printJson(output, shown);
      return 0;
    }
    if (shown.length === 0) output.line("no call is stuck");
    else printTable(output, columns, shown);
    const waiting = old.length - shown.length;
    const style = styleOf(output.color);
    if (waiting > 0)
      output.line(style.dim(`not shown: ${plural(waiting, "call")} of a kind that waits; --all shows all`));
    return 0;
  },
};

const columns: readonly Column<CallsResponse_Call>[] = [
  { title: "AGE", value: ({ ageSeconds }) => formatSpan(ageSeconds * 1000), align: "right" },
  { title: "CALL", value: ({ method }) => shortName(method), shrink: true },
  { title: "NAMESPACE", value: ({ namespace }) => namespace || "-", spare: 2 },
  { title: "FROM", value: ({ peer }) => peer || "-", spare: 1 },
  { title: "STEP", value: ({ step }) => step, shrink: true },
];

/** `Tasks/Create` of `/containerd.services.tasks.v1.Tasks/Create`. */
function shortName(method: string): string {
  return method.slice(method.lastIndexOf(".") + 1);
}

function seconds(text: string | undefined, fallback: number): number {
  if (text === undefined) return fallback;
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0)) throw new UsageError(`--older-than: ${text} is no number of seconds`);
  return value;
}
