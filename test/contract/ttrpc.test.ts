import { expect } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Events as TtrpcEvents } from "../../src/gen/containerd/services/events/ttrpc/v1/events_pb.ts";
import type { EnvelopeSchema } from "../../src/gen/containerd/types/event_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import { type Daemon, startContainerd, startLighter, testNeeding } from "../support/index.ts";
import { plainMessage } from "./normalise.ts";
import { openSide } from "./side.ts";

type Envelope = MessageInitShape<typeof EnvelopeSchema>;

const timestamp = { seconds: 1_700_000_000n, nanos: 5 };
const event = { typeUrl: "some.Event", value: new Uint8Array([1, 2]) };
const good: Envelope = { timestamp, namespace: "ships", topic: "/ships/sail", event };
const envelopes: readonly Envelope[] = [
  good,
  { ...good, namespace: "" },
  { ...good, namespace: "a/b" },
  { ...good, topic: "" },
  { ...good, topic: "sail" },
  { ...good, topic: "/" },
  { ...good, topic: "/ships//sail" },
  { ...good, topic: "/ships/sail!" },
  { ...good, event: { typeUrl: "", value: new Uint8Array() } },
];

/** What a shim hears for each event that it forwards, and what comes of it. */
async function outcomes(daemon: Daemon): Promise<readonly unknown[]> {
  await using side = await openSide(daemon, daemon.workspace.folder);
  await using connection = await connectTtrpc({ path: `${daemon.address}.ttrpc` });
  const client = connection.client(TtrpcEvents);
  const heard: unknown[] = [];
  for (const envelope of envelopes) {
    const said = await failureText(() => client.forward({ envelope }));
    const events = await side.events([]);
    heard.push({ envelope: envelope.topic, said, events: events.map((one) => plainMessage(one, {})) });
  }
  return heard;
}

testNeeding(
  ["ctr", "containerd", "lighterd", "root"],
  "events that shims forward over ttrpc are answered and told as by containerd",
  async () => {
    await using mine = await startLighter();
    await using theirs = await startContainerd();
    expect(await outcomes(mine)).toEqual(await outcomes(theirs));
  },
  60_000,
);
