import type { Client } from "../../client/client.ts";
import { findContainer } from "../../client/containers/find.ts";
import { containerLabels } from "../../client/containers/labels.ts";
import { getTask, retireTask, waitProcess } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { Command } from "../command.ts";
import { forAll } from "../each.ts";
import { isSupervised, stayStopped } from "../restart-options.ts";
import { signalNumber } from "../signals.ts";
import { parseWhole } from "../units.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Stop containers, politely first",
  usage: "[OPTIONS] CONTAINER...",
  description:
    "Sends the image's stop signal (TERM unless it says otherwise), waits, and kills what is still there. What has a restart policy " +
    "stays stopped until lighter start; always starts it again with the daemon.",
  options: [
    {
      long: "time",
      short: "t",
      value: "SECONDS",
      aliases: ["timeout"],
      help: "How long to wait before killing it (10)",
    },
    { long: "signal", short: "s", value: "SIGNAL", help: "In place of the image's stop signal" },
  ],
  examples: [
    ["lighter stop web", "give it 10 seconds to end"],
    ["lighter stop -t 1 web db", "two of them, with less patience"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) => {
    const { client, args, output } = context;
    const graceMs = parseWhole(args.text("time") ?? "10", "--time") * 1000;
    return forAll(context, args.positional, "stop", async (word) => {
      await stopContainer(client, await findContainer(client, word), graceMs, args.text("signal"));
      output.line(word);
    });
  },
};

const stopped = 3;
const paused = 4;

/** Asks a container to end, and kills it when the time is over; one that does not run is left alone. */
export async function stopContainer(
  client: Client,
  container: Container,
  graceMs: number,
  signalName?: string,
): Promise<void> {
  const { id } = container;
  // First, so that its end is not taken for one that calls for a restart.
  if (isSupervised(container.labels)) await stayStopped(client, id);
  const task = await getTask(client, id);
  if (task === undefined) return;
  const exit = waitProcess(client, id);
  exit.catch(() => {});
  if (task.status !== stopped) {
    const name = signalName ?? container.labels[containerLabels.stopSignal] ?? "TERM";
    const signal = signalNumber(name);
    if (signal === undefined) throw new UsageError(`${JSON.stringify(name)} is no signal`);
    await kill(client, id, signal);
    if (task.status === paused) await client.tasks.resume({ containerId: id });
    const ended = await Promise.race([exit.then(() => true), Bun.sleep(graceMs).then(() => false)]);
    if (!ended) await kill(client, id, 9);
  }
  await retireTask(client, id, await exit);
}

async function kill(client: Client, containerId: string, signal: number): Promise<void> {
  try {
    await client.tasks.kill({ containerId, signal });
  } catch (error) {
    // It ended meanwhile, which the wait tells.
    if (!isFault(error, "notFound")) throw error;
  }
}
