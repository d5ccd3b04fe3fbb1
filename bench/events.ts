// Measures what telling everybody costs: 50 subscribers to all events, 5,000 events a second, the daemons in turn.
// usage: bun bench/events.ts [--subscribers 50] [--rate 5000] [--seconds 4] [--rounds 3]
import fs from "node:fs/promises";
import { parseArgs } from "node:util";
import { Events } from "../src/gen/containerd/services/events/v1/events_pb.ts";
import { connectGrpc } from "../src/wire/grpc/index.ts";
import { type Daemon, startContainerd, startLighter, waitFor } from "../test/support/index.ts";
import { type Counter, countEvents } from "./events/raw-subscriber.ts";
import { program } from "./sides.ts";
import { pairedRatio, short, summarize } from "./statistics.ts";

export interface EventsOptions {
  readonly subscribers: number;
  /** Events a second. */
  readonly rate: number;
  readonly seconds: number;
  readonly rounds: number;
}

/** Each side's rounds, in order. */
export interface EventsRecord {
  readonly options: EventsOptions;
  readonly lighter: Round[];
  readonly containerd: Round[];
}

interface Round {
  /** The daemon's processor time. */
  readonly cpuSeconds: number;
  /** Of what was published, over all subscribers, how much did not arrive. */
  readonly lost: number;
}

const tickMs = 5;
/** Linux counts processor time in hundredths of a second. */
const ticksPerSecond = 100;

/** Publishes at a steady rate, and weighs the daemon's work. */
export async function benchEvents(options: EventsOptions): Promise<EventsRecord> {
  await using lighter = await startLighter({ logLevel: "info", program });
  await using containerd = await startContainerd({ logLevel: "info" });
  const record: EventsRecord = { options, lighter: [], containerd: [] };
  // The first round is not counted: neither is measured cold.
  for (let round = -1; round < options.rounds; round++) {
    for (const daemon of [lighter, containerd]) {
      const result = await measure(daemon, options);
      if (round >= 0) record[daemon.kind].push(result);
    }
  }
  return record;
}

async function measure(daemon: Daemon, options: EventsOptions): Promise<Round> {
  using stack = new DisposableStack();
  const subscribers: Counter[] = [];
  for (let index = 0; index < options.subscribers; index++) {
    subscribers.push(stack.use(await countEvents(daemon.address)));
  }
  await using connection = await connectGrpc({ path: daemon.address });
  const events = connection.client(Events, { namespace: daemon.namespace });
  await untilAllHear(subscribers, () => events.publish(message(0)));
  const heard = subscribers.map((one) => one.events);
  const before = await cpuSecondsOf(daemon.pid);
  const count = options.rate * options.seconds;
  await publishSteadily(count, options.rate, (index) => events.publish(message(index)));
  const arrived = (): number => subscribers.reduce((sum, one, index) => sum + one.events - (heard[index] ?? 0), 0);
  const wanted = count * options.subscribers;
  // What has not come after this long will not come.
  await waitFor("the last event", () => Promise.resolve(arrived() >= wanted), 10_000).catch(() => undefined);
  return { cpuSeconds: (await cpuSecondsOf(daemon.pid)) - before, lost: wanted - arrived() };
}

function message(index: number): { topic: string; event: { typeUrl: string; value: Uint8Array } } {
  return { topic: "/bench/told", event: { typeUrl: "bench.Told", value: Buffer.from(`event number ${index}`) } };
}

/** A subscription is in force some time after it was asked for; events before that are nobody's loss. */
async function untilAllHear(subscribers: readonly Counter[], tell: () => Promise<unknown>): Promise<void> {
  await waitFor("every subscriber to hear", async () => {
    await tell();
    return subscribers.every((one) => one.events > 0);
  });
  // And the last one of these has come to all.
  let last = -1;
  await waitFor("quiet", () => {
    const now = subscribers.reduce((sum, one) => sum + one.events, 0);
    const quiet = now === last;
    last = now;
    return Promise.resolve(quiet);
  });
}

async function publishSteadily(
  count: number,
  rate: number,
  publish: (index: number) => Promise<unknown>,
): Promise<void> {
  const started = performance.now();
  const pending: Promise<unknown>[] = [];
  for (let sent = 0; sent < count; ) {
    const due = Math.min(count, Math.floor(((performance.now() - started) * rate) / 1000));
    while (sent < due) pending.push(publish(sent++));
    await Bun.sleep(tickMs);
  }
  await Promise.all(pending);
}

async function cpuSecondsOf(pid: number): Promise<number> {
  const stat = await fs.readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / ticksPerSecond;
}

/** The page as Markdown. */
export function eventsTable({ options, lighter, containerd }: EventsRecord): string {
  const cpu = (side: readonly Round[]): number[] => side.map(({ cpuSeconds }) => cpuSeconds);
  const share = (side: readonly Round[]): string =>
    `${short(summarize(cpu(side)).median / options.seconds)} processors`;
  const lost = (side: readonly Round[]): string => String(side.reduce((sum, round) => sum + round.lost, 0));
  const ratio = pairedRatio(cpu(lighter), cpu(containerd));
  const met = ratio <= 1 && lost(lighter) === "0";
  return [
    `${options.subscribers} subscribers to all events, ${options.rate} events a second.`,
    "",
    "| | lighter | containerd | lighter : containerd | aim |",
    "| --- | --- | --- | --- | --- |",
    `| the daemon's work | ${share(lighter)} | ${share(containerd)} | ${short(ratio)} | ≤ 1, none lost: ${met ? "met" : "missed"} |`,
    `| events lost | ${lost(lighter)} | ${lost(containerd)} | | |`,
  ].join("\n");
}

if (import.meta.main) {
  const { values } = parseArgs({
    options: {
      subscribers: { type: "string", default: "50" },
      rate: { type: "string", default: "5000" },
      seconds: { type: "string", default: "4" },
      rounds: { type: "string", default: "3" },
    },
  });
  const [subscribers, rate, seconds] = [Number(values.subscribers), Number(values.rate), Number(values.seconds)];
  console.log(eventsTable(await benchEvents({ subscribers, rate, seconds, rounds: Number(values.rounds) })));
}
