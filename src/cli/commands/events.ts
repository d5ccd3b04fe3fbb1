import { dateOf } from "../../client/containers/tasks.ts";
import { decodeMessage, knowsMessage } from "../../client/transport/codec.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { isFault } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import type { Command, CommandContext } from "../command.ts";
import { jsonLine } from "../json.ts";
import { parseMoment } from "../moment.ts";
import type { Output } from "../output.ts";
import { styleOf } from "../style.ts";
import { printable } from "../table.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Print what happens, as it happens",
  usage: "[OPTIONS] [WORD]",
  description:
    "One line an event until ctrl-c: time, topic, content; --json tells all of it. A word keeps only topics that hold it. " +
    "lighterd keeps what happened, over its restarts as well: --since begins there and goes on with what happens, --until ends it.",
  options: [
    {
      long: "since",
      value: "TIME",
      help: "Begin with what happened then: 10m, 1h30m, 2026-01-31T15:04:05Z, or seconds",
    },
    { long: "until", value: "TIME", help: "End with what happened before then" },
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
    ["lighter events --since 1h --until 0s", "the last hour, and no further"],
    ["lighter events -f topic==/tasks/oom -A", "what runs out of memory, in all namespaces"],
  ],
  words: [0, 1],
  json: true,
  run: async (context) => {
    const { args, json, output, namespace } = context;
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
    for await (const envelope of eventsOf(
      context,
      filters.filter((filter) => filter !== ""),
    )) {
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

/** From now on, or from the moment that was asked for. Errors: CommandError (the daemon keeps no history), UsageError. */
async function* eventsOf({ client, args }: CommandContext, filters: readonly string[]): AsyncGenerator<Envelope> {
  const now = Date.now();
  const [since, until] = ["since", "until"].map((long) => {
    const text = args.text(long);
    return text === undefined ? undefined : parseMoment(text, `--${long}`, now);
  });
  if (since === undefined && until === undefined) return yield* client.events.subscribe({ filters: [...filters] });
  const request = {
    since: Instant.ofMs(since ?? now).toTimestamp(),
    until: until === undefined ? undefined : Instant.ofMs(until).toTimestamp(),
    filters: [...filters],
    follow: until === undefined || until > now,
  };
  try {
    for await (const { envelope } of client.history.read(request)) if (envelope !== undefined) yield envelope;
  } catch (error) {
    if (!isFault(error, "notImplemented")) throw error;
    throw new CommandError("this daemon keeps no history of events", {
      hint: "containerd tells only of what happens while one listens: lighter events, and have it running; lighterd keeps a history",
      cause: error,
    });
  }
}

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
