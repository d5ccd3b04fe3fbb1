import { readFileSync } from "node:fs";
import { findContainer } from "../../client/containers/find.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { type Column, printTable } from "../table.ts";

interface ProcessRow {
  readonly pid: number;
  readonly user: string;
  readonly state: string;
  readonly memoryKib: number;
  readonly command: string;
}

export const command: Command = {
  summary: "List the processes of a container",
  usage: "CONTAINER",
  options: [],
  examples: [["lighter top web", "what runs in it, with pids of this machine"]],
  words: [1, 1],
  completes: "container",
  json: true,
  run: async ({ client, args, json, output }) => {
    const { id } = await findContainer(client, args.positional[0] ?? "");
    const { processes } = await client.tasks.listPids({ containerId: id });
    const rows = processes.flatMap(({ pid }) => processRow(pid));
    if (json) printJson(output, rows);
    else printTable(output, columns, rows);
    return 0;
  },
};

const columns: readonly Column<ProcessRow>[] = [
  { title: "PID", value: ({ pid }) => String(pid), align: "right" },
  { title: "UID", value: ({ user }) => user, align: "right" },
  { title: "STATE", value: ({ state }) => state },
  { title: "RSS", value: ({ memoryKib }) => `${(memoryKib / 1024).toFixed(1)} MiB`, align: "right" },
  { title: "COMMAND", value: (row) => row.command, shrink: true },
];

/** Source: proc_pid_status(5), proc_pid_cmdline(5). A process that ended meanwhile is left out. */
function processRow(pid: number): ProcessRow[] {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const field = (name: string): string => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)?.[1] ?? "";
    const line = readFileSync(`/proc/${pid}/cmdline`, "utf8").replace(/\0/g, " ").trim();
    return [
      {
        pid,
        user: field("Uid").split(/\s/)[0] ?? "",
        state: field("State"),
        memoryKib: Number.parseInt(field("VmRSS"), 10) || 0,
        command: line === "" ? `[${field("Name")}]` : line,
      },
    ];
  } catch {
    return [];
  }
}
