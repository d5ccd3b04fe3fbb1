import { dateOf } from "../../client/containers/tasks.ts";
import { decodeMessage, knowsMessage } from "../../client/transport/codec.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import type { Command } from "../command.ts";
import { jsonLine } from "../json.ts";
import type { Output } from "../output.ts";
import { styleOf } from "../style.ts";
import { printable } from "../table.ts";

export const command: Command = {
  summary: "Print what happens, as it happens",
  usage: "[OPTIONS] [WORD]",
  description:
    "One line an event until ctrl-c: time, topic, content; --json tells all of it. A word keeps only topics that hold it.",
  options: [
    { long: "all-namespaces", short: "A", help: "Of all namespaces" },
    {
      long: "filter",
      short: "f",
      value: "FILTER",
      many: true,
      help: "containerd's filter syntax, e.g. topic==/tasks/exit or event.id~=^web; several are alternatives",
    },
  ],
  examples: [
    ["lighter events", "everything in this namespace"],
    ["lighter events tasks/exit --json", "ends of processes, one JSON object a line"],
    ["lighter events -f topic==/tasks/oom -A", "what runs out of memory, in all namespaces"],
  ],
  words: [0, 1],
  json: true,
  run: async ({ client, args, json, output, namespace }) => {
    const word = args.positional[0];
    const common = [
      ...(args.flag("all-namespaces") ? [] : [`namespace==${namespace}`]),
      ...(word === undefined ? [] : [`topic~=${JSON.stringify(word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))}`]),
    ];
    const given = args.list("filter").map(quoted);
    const filters = (given.length === 0 ? [""] : given).map((filter) =>
      [filter, ...common].filter((part) => part !== "").join(","),
    );
    const all = args.flag("all-namespaces");
    for await (const envelope of client.events.subscribe({ filters: filters.filter((filter) => filter !== "") })) {
      const told: ToldEvent = {
        time: dateOf(envelope.timestamp),
        namespace: envelope.namespace,
        topic: envelope.topic,
        event: contentOf(envelope),
      };
      output.line(json ? jsonLine(told) : lineOf(told, all, output));
    }
    return 0;
  },
};

interface ToldEvent {
  readonly time: Date;
  readonly namespace: string;
  readonly topic: string;
  readonly event: Readonly<Record<string, unknown>>;
}

/** containerd's filters take a value with slashes only in quotes, which a shell would eat. */
function quoted(filter: string): string {
  return filter.replace(/(==|!=|~=)([^"|,][^,]*)/g, (whole, operator: string, value: string) =>
    /^[A-Za-z0-9_]+$/.test(value) ? whole : `${operator}${JSON.stringify(value)}`,
  );
}

const topicWidth = 20;

/** What a person wants to see: no empty fields, no details of mounts and pipes. */
function lineOf({ time, namespace, topic, event }: ToldEvent, withNamespace: boolean, output: Output): string {
  const style = styleOf(output.color);
  const words = Object.entries(event).flatMap(([name, value]) => {
    if (["rootfs", "io", "bundle"].includes(name) || value === "" || value === undefined) return [];
    const text = (typeof value === "string" ? value : jsonLine(value)).replace(/^"(.*)"$/, "$1");
    return text === "{}" || text === "[]" ? [] : [`${style.dim(`${name}=`)}${printable(text)}`];
  });
  const where = withNamespace ? `${printable(namespace)}  ` : "";
  return `${style.dim(time.toISOString())}  ${where}${style.bold(printable(topic).padEnd(topicWidth))} ${words.join(" ")}`;
}

function contentOf({ event }: Envelope): Record<string, unknown> {
  if (event === undefined) return {};
  const type = event.typeUrl.slice(event.typeUrl.lastIndexOf("/") + 1);
  if (!knowsMessage(type)) return { type: event.typeUrl };
  const { $typeName: _, ...content } = decodeMessage(type, event.value);
  return Object.fromEntries(Object.entries(content).map(([name, value]) => [name, timeOr(value)]));
}

/** A moment as a date, anything else as it is. */
function timeOr(value: unknown): unknown {
  const isTime = (value as { $typeName?: string } | undefined)?.$typeName === "google.protobuf.Timestamp";
  return isTime ? dateOf(value as { seconds: bigint; nanos: number }) : value;
}
