import { findContainer } from "../../client/containers/find.ts";
import { containerLabels } from "../../client/containers/labels.ts";
import type { Command } from "../command.ts";
import { forAll } from "../each.ts";
import { isSupervised, stayStopped } from "../restart-options.ts";
import { signalNumber } from "../signals.ts";
import { UsageError } from "../usage-error.ts";

/** What is sent to end a container: it stays ended, whatever its restart policy. */
const endingSignals: ReadonlySet<number | undefined> = new Set(["KILL", "TERM", "INT", "QUIT"].map(signalNumber));

export const command: Command = {
  summary: "Send a signal to containers",
  usage: "[OPTIONS] CONTAINER...",
  options: [
    { long: "signal", short: "s", value: "SIGNAL", help: "By name or number (KILL)" },
    { long: "all", help: "Also to all other processes in the container" },
  ],
  examples: [
    ["lighter kill web", "end it now"],
    ["lighter kill -s HUP web", "ask it to read its configuration again"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) => {
    const { client, args, output } = context;
    const given = args.text("signal") ?? "KILL";
    const signal = signalNumber(given);
    if (signal === undefined) throw new UsageError(`option --signal: ${JSON.stringify(given)} is no signal`);
    return forAll(context, args.positional, "kill", async (word) => {
      const { id, labels } = await findContainer(client, word);
      const ends = endingSignals.has(signal) || signal === signalNumber(labels[containerLabels.stopSignal] ?? "");
      if (ends && isSupervised(labels)) await stayStopped(client, id);
      await client.tasks.kill({ containerId: id, signal, all: args.flag("all") });
      output.line(word);
    });
  },
};
