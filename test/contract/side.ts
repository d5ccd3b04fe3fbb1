import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import type { Envelope } from "../../src/gen/containerd/types/event_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { type Connection, connectHttp2, defaultLimits } from "../../src/wire/http2/index.ts";
import type { ClientConnection, ServiceClient } from "../../src/wire/service.ts";
import { type Daemon, waitFor } from "../support/index.ts";
import type { Places } from "./normalise.ts";

/** One of the two daemons, with what it takes to ask it and to hear its events. */
export interface Side extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly connection: Connection;
  readonly places: Places;
  readonly rootfs: string;
  /** What was published since the last ask, once all of that has arrived and the topics that are awaited too. */
  events(awaits: readonly string[]): Promise<readonly Envelope[]>;
}

/** As Go: an error of a mebibyte is still one. */
const limits = { ...defaultLimits, maxHeaderListSize: 16 * 1024 * 1024 };

/** How long an event may be on its way, from a shim that has no processor to run on. */
const lateMs = 20_000;

/** A marker between two calls' events. */
const markTopic = "/contract/mark";

export async function openSide(daemon: Daemon, rootfs: string): Promise<Side> {
  await using stack = new AsyncDisposableStack();
  const connection = await connectHttp2({ path: daemon.address }, { limits, onClosed: () => {} });
  stack.defer(() => connection.terminate());
  const client: ClientConnection = stack.use(await connectGrpc({ path: daemon.address }));
  const publisher = client.client(Events, { namespace: "marks" });
  const heard: Envelope[] = [];
  const controller = new AbortController();
  stack.defer(() => controller.abort());
  const listening = listen(client.client(Events), controller.signal, heard);
  listening.catch(() => {}); // the end of the connection
  let marks = 0;
  const mark = async (): Promise<number> => {
    const topic = `${markTopic}/${++marks}`;
    await publisher.publish({ topic, event: { typeUrl: "mark", value: new Uint8Array() } });
    return waitFor(`event ${topic}`, () => {
      const at = heard.findIndex((envelope) => envelope.topic === topic);
      return at < 0 ? undefined : at + 1;
    });
  };
  // The subscription stands once a mark arrives; until then marks are lost.
  await waitFor("events", async () => {
    await publisher.publish({ topic: `${markTopic}/0`, event: { typeUrl: "mark", value: new Uint8Array() } });
    return heard.length > 0;
  });
  const owned = stack.move();
  return {
    daemon,
    connection,
    places: placesOf(daemon, rootfs),
    rootfs,
    events: async (awaits) => {
      for (const topic of awaits) {
        // One that does not come is seen in the comparison.
        await waitFor(topic, () => heard.some((envelope) => envelope.topic === topic), lateMs).catch(() => {});
      }
      const taken = heard.splice(0, await mark());
      return taken.filter((envelope) => !envelope.topic.startsWith(markTopic));
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function listen(events: ServiceClient<typeof Events>, signal: AbortSignal, heard: Envelope[]): Promise<void> {
  for await (const envelope of events.subscribe({}, { signal })) heard.push(envelope);
}

function placesOf({ root, state, address, namespace, workspace }: Daemon, rootfs: string): Places {
  return {
    replaced: [
      [rootfs, "<rootfs>"],
      [root, "<root>"],
      [state, "<state>"],
      [address, "<address>"],
      [workspace.folder, "<folder>"],
      [namespace, "<token>"],
    ],
  };
}
