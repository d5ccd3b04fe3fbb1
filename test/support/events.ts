import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import type { Envelope } from "../../src/gen/containerd/types/event_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { Daemon } from "./daemon.ts";

/** A daemon's events since this was made. */
export interface FollowedEvents extends AsyncDisposable {
  readonly events: readonly Envelope[];
  /** The topics of those that tell of tasks, in their order. */
  taskTopics(): readonly string[];
}

/** Follows a daemon's events until disposed. */
export async function followEvents(daemon: Daemon): Promise<FollowedEvents> {
  const connection = await connectGrpc({ path: daemon.address });
  const events: Envelope[] = [];
  const reading = (async () => {
    for await (const event of connection.client(Events).subscribe({ filters: [] })) events.push(event);
  })().catch(() => undefined); // the connection ends with the test
  return {
    events,
    taskTopics: () => events.map(({ topic }) => topic).filter((topic) => topic.startsWith("/tasks/")),
    [Symbol.asyncDispose]: async () => {
      await connection[Symbol.asyncDispose]();
      await reading;
    },
  };
}
