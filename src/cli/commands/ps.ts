import type { Command } from "../command.ts";
import { type ContainerRow, listContainers, statusText } from "../container-list.ts";
import { printJson } from "../json.ts";
import { styleOf } from "../style.ts";
import { type Column, printTable } from "../table.ts";
import { formatAgo, parseWhole } from "../units.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "List containers",
  usage: "[OPTIONS]",
  options: [
    { long: "all", short: "a", help: "Also those that don't run" },
    { long: "quiet", short: "q", help: "Only the ids" },
    {
      long: "filter",
      short: "f",
      value: "KEY=VALUE",
      many: true,
      help: "Only those with id=, name=, image=, status=, health= or label=KEY[=VALUE]",
    },
    { long: "last", short: "n", value: "N", help: "Only the last N made" },
    { long: "no-trunc", help: "Show long values whole" },
  ],
  examples: [
    ["lighter ps", "what runs"],
    ["lighter ps -a --filter status=exited", "what has ended, and how"],
    ["lighter rm $(lighter ps -aq)", "remove all that don't run"],
  ],
  words: [0, 0],
  json: true,
  run: async ({ client, args, json, output }) => {
    const filters = args.list("filter").map(parseFilter);
    const all =
      args.flag("all") || args.has("last") || args.list("filter").some((filter) => filter.startsWith("status="));
    const rows = (await listContainers(client))
      .filter(
        (row) =>
          all ||
          row.state === "running" ||
          row.state === "paused" ||
          row.state === "pausing" ||
          row.state === "restarting",
      )
      .filter((row) => filters.every((matches) => matches(row)))
      .slice(0, args.has("last") ? parseWhole(args.text("last") ?? "", "--last") : undefined);
    if (args.flag("quiet")) for (const { id } of rows) output.line(id);
    else if (json) printJson(output, rows);
    else printTable(output, columns(args.flag("no-trunc"), new Date(), rows), rows);
    return 0;
  },
};

function columns(whole: boolean, now: Date, rows: readonly ContainerRow[]): Column<ContainerRow>[] {
  const paint = styleOf(true);
  return [
    { title: "CONTAINER ID", value: ({ id }) => id },
    {
      title: "IMAGE",
      value: ({ image }) => (whole ? image : image.replace(/^docker\.io\/(library\/)?/, "")),
      shrink: !whole,
    },
    {
      title: "COMMAND",
      value: (row) => (whole || row.command.length <= 30 ? row.command : `${row.command.slice(0, 29)}…`),
      shrink: !whole,
      ...(whole ? {} : { spare: 3 }),
    },
    { title: "CREATED", value: ({ createdAt }) => formatAgo(createdAt, now), spare: 2 },
    {
      title: "STATUS",
      value: (row) => statusText(row, now),
      paint: (text, { state, exitStatus, health }) =>
        state === "running" && health?.status !== "unhealthy"
          ? paint.green(text)
          : state === "running" || state === "restarting" || (state === "exited" && exitStatus !== 0)
            ? paint.red(text)
            : text,
    },
    ...(rows.some(({ restart }) => restart !== undefined) ? [restarts] : []),
    { title: "PID", value: ({ pid }) => (pid === 0 ? "" : String(pid)), align: "right", spare: 1 },
  ];
}

/** Shown where a container has a policy: `always (3)`, three restarts so far. */
const restarts: Column<ContainerRow> = {
  title: "RESTARTS",
  value: ({ restart }) => (restart === undefined ? "" : `${restart.policy} (${restart.count})`),
  spare: 4,
};

function parseFilter(text: string): (row: ContainerRow) => boolean {
  const at = text.indexOf("=");
  const [key, value] = at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + 1)];
  switch (key) {
    case "id":
      return ({ id }) => id.startsWith(value);
    case "name":
      return ({ id }) => id.includes(value);
    case "image":
    case "ancestor":
      return ({ image }) => image === value || image.includes(value);
    case "health":
      return ({ health }) => (health?.status ?? "none") === value;
    case "status":
      return ({ state }) => state === value;
    case "label": {
      const equals = value.indexOf("=");
      if (equals < 0) return ({ labels }) => Object.hasOwn(labels, value);
      return ({ labels }) => labels[value.slice(0, equals)] === value.slice(equals + 1);
    }
    default:
      throw new UsageError(
        `option --filter: ${JSON.stringify(key)} is not known`,
        "use id, name, image, status, health or label",
      );
  }
}
