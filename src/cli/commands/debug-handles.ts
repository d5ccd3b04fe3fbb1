import type { HandlesResponse } from "../../gen/lighter/debug/v1/debug_pb.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import type { Output } from "../output.ts";
import { styleOf } from "../style.ts";
import { systemFault } from "../system-fault.ts";
import { printTable } from "../table.ts";
import { formatBytes, formatSpan, plural } from "../units.ts";

export const command: Command = {
  summary: "Show what the daemon holds: descriptors, children, tasks, memory",
  usage: "[OPTIONS]",
  description:
    "Of all namespaces. The states of tasks are what their shims say now; a shim that does not answer takes two seconds.",
  options: [],
  examples: [
    ["lighter debug handles", "does it keep something that it should not?"],
    ["lighter debug handles --json | jq '.descriptors | length'", "how many descriptors are open?"],
  ],
  words: [0, 0],
  json: true,
  run: async ({ client, json, output }) => {
    const handles = await client.debug.handles({}).catch((error: unknown) => {
      throw systemFault(error, "debug handles", "/proc/PID/fd shows the descriptors of any process");
    });
    if (json) printJson(output, handles);
    else print(output, handles);
    return 0;
  },
};

function print(output: Output, handles: HandlesResponse): void {
  const { pid, uptimeSeconds, residentBytes, heapBytes, heapObjects, descriptors, children, tasks } = handles;
  const style = styleOf(output.color);
  const memory = `${formatBytes(Number(residentBytes))} resident, ${formatBytes(Number(heapBytes))} of heap`;
  output.line(
    `process ${pid}, up ${formatSpan(uptimeSeconds * 1000)}, ${memory} in ${plural(Number(heapObjects), "object")}`,
  );
  output.line(style.bold(plural(descriptors.length, "descriptor")));
  printTable(
    output,
    [
      { title: "FD", value: ({ fd }) => String(fd), align: "right" },
      { title: "TARGET", value: ({ target }) => target },
    ],
    descriptors,
  );
  if (children.length > 0) {
    output.line(style.bold("children"));
    printTable(
      output,
      [
        { title: "PID", value: ({ pid: child }) => String(child), align: "right" },
        { title: "NAME", value: ({ name }) => name },
      ],
      children,
    );
  }
  if (tasks.length === 0) return;
  output.line(style.bold(plural(tasks.length, "task")));
  printTable(
    output,
    [
      { title: "NAMESPACE", value: ({ namespace }) => namespace },
      { title: "ID", value: ({ id }) => id },
      { title: "PID", value: ({ pid: init }) => (init === 0 ? "-" : String(init)), align: "right" },
      { title: "STATE", value: ({ state }) => state },
    ],
    tasks,
  );
}
