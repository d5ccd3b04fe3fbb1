import { dateOf } from "../../client/containers/tasks.ts";
import { decodeMessage, knowsMessage } from "../../client/transport/codec.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import type { Command } from "../command.ts";
import { jsonLine } from "../json.ts";
import { styleOf } from "../style.ts";
import { printable } from "../table.ts";

export const command: Command = {
  summary: "Print what happens, as it happens",
  usage: "[OPTIONS] [WORD]",
  description:
    "One line an event until ctrl-c: time, namespace, topic, content. A word keeps only topics that hold it.",
  options: [
    { long: "all-namespaces", short: "A", help: "Of all namespaces" },
    {
      long: "filter",
      short: "f",
      value: "FILTER",
      many: true,
      help: "containerd's filter syntax, e.g. 'topic==/tasks/exit'; several are alternatives",
    },
  ],
  examples: [
    ["lighter events", "everything in this namespace"],
    ["lighter events tasks/exit --json", "ends of processes, one JSON object a line"],
  ],
  words: [0, 1],
  json: true,
  run: async ({ client, args, json, output, namespace }) => {
    const word = args.positional[0];
    const common = [
      ...(args.flag("all-namespaces") ? [] : [`namespace==${namespace}`]),
      ...(word === undefined ? [] : [`topic~=${JSON.stringify(word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"))}`]),
    ];
    const given = args.list("filter");
    const filters = (given.length === 0 ? [""] : given).map((filter) =>
      [filter, ...common].filter((part) => part !== "").join(","),
    );
    const style = styleOf(output.color);
    for await (const envelope of client.events.subscribe({ filters: filters.filter((filter) => filter !== "") })) {
      const at = dateOf(envelope.timestamp);
      const event = contentOf(envelope);
      if (json) output.line(jsonLine({ time: at, namespace: envelope.namespace, topic: envelope.topic, event }));
      else
        output.line(
          `${style.dim(at.toISOString())} ${envelope.namespace} ${style.bold(envelope.topic)} ${printable(jsonLine(event))}`,
        );
    }
    return 0;
  },
};

function contentOf({ event }: Envelope): unknown {
  if (event === undefined) return {};
  const type = event.typeUrl.slice(event.typeUrl.lastIndexOf("/") + 1);
  return knowsMessage(type) ? decodeMessage(type, event.value) : { type: event.typeUrl };
}
