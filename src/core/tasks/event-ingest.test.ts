import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { TaskExitSchema } from "../../gen/containerd/events/task_pb.ts";
import { type Event, EventSchema } from "../../gen/lighter/shim/v1/host_pb.ts";
import { silentLogger } from "../../lib/log.ts";
import { createExchange } from "../events/index.ts";
import { EventIngest } from "./event-ingest.ts";
import type { HostConnection } from "./host/host.ts";
import { RecentExits } from "./recent-exits.ts";
import { TestDaemon, until } from "./test-daemon.ts";
import { FakeHost } from "./testing.ts";

describe("events of the host", () => {
  test("reach the exchange once each, in order, and are let go of", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    host.exit("default", "c1", "", 3);
    await daemon.tasks.delete(daemon.ctx, "c1");
    await daemon.event("/tasks/delete");
    expect(daemon.events.map((event) => event.topic)).toEqual([
      "/tasks/create",
      "/tasks/start",
      "/tasks/exit",
      "/tasks/delete",
    ]);
    await until(() => host.kept.length === 0, "acknowledgements");
  });

  test("are not repeated when their acknowledgement got lost with a host", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    host.failCall = (method) => (method === "acknowledge" ? new Error("disk full") : undefined);
    await daemon.running("c1");
    await daemon.event("/tasks/start");
    await host.die();
    await until(() => host.up, "another host");
    host.failCall = () => undefined;
    host.exit("default", "c1", "", 1);
    await daemon.event("/tasks/exit");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/create", "/tasks/start", "/tasks/exit"]);
    await until(() => host.kept.length === 0, "acknowledgements");
  });

  test("are not repeated when another connection brings them after they were let go of", async () => {
    const exchange = createExchange({ log: silentLogger });
    const told: string[] = [];
    using _observing = exchange.observe(({ topic }) => told.push(topic));
    using ingest = new EventIngest({ exchange, exits: new RecentExits(), log: silentLogger });
    // Not of the time before the start: such a one is held for whoever wants it.
    const timestamp = timestampFromMs(Date.now() + 60_000);
    const event = create(EventSchema, { sequence: 1n, timestamp, namespace: "default", topic: "/t" });
    const acknowledged = Promise.withResolvers<void>();
    const connection = (events: () => AsyncGenerator<Event>): HostConnection =>
      ({ host: { events, acknowledge: async () => acknowledged.resolve() }, lost: false }) as never;
    await ingest.run(
      connection(async function* () {
        yield event;
        await acknowledged.promise;
      }),
    );
    await ingest.run(
      connection(async function* () {
        yield event;
      }),
    );
    expect(told).toEqual(["/t"]);
  });

  test("stay with the host once the exchange has retired, for the daemon that comes next", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await until(() => host.kept.length === 0, "acknowledgements");
    daemon.exchange.retire();
    host.exit("default", "c1", "", 7);
    await daemon.down();
    expect(host.kept.length).toBe(1);
    daemon.events.length = 0;
    await daemon.up();
    await daemon.event("/tasks/exit");
    await until(() => host.kept.length === 0, "acknowledgements");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit"]);
  });

  test("that were passed on are not told again by the daemon that comes next, though the host never heard of that", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    host.failCall = (method) => (method === "acknowledge" ? new Error("disk full") : undefined);
    await daemon.running("c1");
    await daemon.event("/tasks/start");
    let passedOn = await daemon.handOver();
    expect(host.kept.length).toBe(2);
    host.exit("default", "c1", "", 7);
    daemon.events.length = 0;
    await daemon.up({ passedOn });
    await daemon.event("/tasks/exit");
    // And by the one after that, of which only this one was told.
    passedOn = await daemon.handOver();
    expect(host.kept.length).toBe(3);
    host.failCall = () => undefined;
    await daemon.up({ passedOn });
    await daemon.running("c2");
    await daemon.event("/tasks/start");
    await until(() => host.kept.length === 0, "acknowledgements");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit", "/tasks/create", "/tasks/start"]);
  });

  test("are not let go of while they lie with a daemon alone that nobody has come back to", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await until(() => host.kept.length === 0, "acknowledgements");
    const passedOn = await daemon.handOver();
    host.exit("default", "c1", "", 7);
    // One that fails before it serves, as a program does that took the place and gives it back.
    await daemon.up({ watch: false, passedOn, subscribers: 1 });
    await daemon.running("c2");
    await until(() => daemon.tasks.passedOn?.through === "5", "all events to be taken");
    await daemon.down();
    expect(host.kept.length).toBe(3);
    daemon.events.length = 0;
    await daemon.up({ watch: false, passedOn, subscribers: 1 });
    await until(() => daemon.tasks.passedOn?.through === "5", "all events to be taken");
    using _back = daemon.watch();
    await until(() => host.kept.length === 0, "acknowledgements");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit", "/tasks/create", "/tasks/start"]);
  });

  test("that nobody took are held again by the daemon that comes next, and those after them not told again", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await until(() => host.kept.length === 0, "acknowledgements");
    await daemon.down();
    host.exit("default", "c1", "", 5);
    await daemon.up({ watch: false });
    await daemon.running("c2");
    await until(() => host.kept.length === 3, "nothing more to be let go of");
    daemon.events.length = 0;
    const passedOn = await daemon.handOver();
    await daemon.up({ passedOn });
    await daemon.event("/tasks/exit");
    await until(() => host.kept.length === 0, "acknowledgements");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit"]);
  });

  test("that can't be passed on stop nothing", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    host.emit("default", "no topic at all", TaskExitSchema, {});
    host.exit("default", "c1", "", 1);
    await daemon.event("/tasks/exit");
    await until(() => host.kept.length === 0, "acknowledgements");
  });

  test("holds what happened before it for a client that comes later, and not what happens while it waits", async () => {
    await using host = await FakeHost.create();
    await using daemon = await TestDaemon.start(host.launcher);
    await daemon.running("c1");
    await until(() => host.kept.length === 0, "acknowledgements");
    await daemon.down();
    host.exit("default", "c1", "", 5);
    daemon.events.length = 0;
    await daemon.up({ watch: false });
    await daemon.running("c2");
    await until(() => host.kept.length === 3, "nothing more to be let go of");
    using _client = daemon.watch();
    await daemon.event("/tasks/exit");
    await daemon.running("c3");
    await daemon.event("/tasks/start");
    expect(daemon.events.map((event) => event.topic)).toEqual(["/tasks/exit", "/tasks/create", "/tasks/start"]);
    await until(() => host.kept.length === 0, "acknowledgements");
  });
});
