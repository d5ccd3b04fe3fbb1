import { describe, expect, test } from "bun:test";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { ContainerCreateSchema, ContainerUpdateSchema } from "../../gen/containerd/events/container_pb.ts";
import { TaskExitSchema, TaskIOSchema } from "../../gen/containerd/events/task_pb.ts";
import { ImageCreateSchema } from "../../gen/containerd/services/images/v1/image_pb.ts";
import { type Envelope, EnvelopeSchema } from "../../gen/containerd/types/event_pb.ts";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { FaultError, fault } from "../../lib/faults.ts";
import { parseFilters } from "../../lib/filters.ts";
import { Instant } from "../../lib/instant.ts";
import { silentLogger } from "../../lib/log.ts";
import { anyOf } from "../../wire/any.ts";
import { envelopeFields } from "./fields.ts";
import { createExchange, type Exchange } from "./index.ts";

const now = (): Instant => Instant.of({ seconds: 1_767_323_045, nanos: 678_901_234 });
const exchange = (): Exchange => createExchange({ log: silentLogger, now });
const ctx = createCtx({ namespace: "blue" });
const exit = anyOf(TaskExitSchema, create(TaskExitSchema, { containerId: "c", id: "c", pid: 7, exitStatus: 137 }));

function subscribe(on: Exchange, filters: readonly string[] = [], given?: Ctx): AsyncIterator<Envelope> {
  return on.subscribe(given ?? createCtx(), filters, "client")[Symbol.asyncIterator]();
}

async function topics(iterator: AsyncIterator<Envelope>, count: number): Promise<string[]> {
  const seen: string[] = [];
  while (seen.length < count) seen.push(((await iterator.next()).value as Envelope).topic);
  return seen;
}

describe("Exchange", () => {
  test("stamps time and namespace, and passes the Any on untouched", async () => {
    const on = exchange();
    const iterator = subscribe(on);
    const strange = { ...exit, typeUrl: "types.example/Unknown", value: new Uint8Array([1, 2, 255]) };
    on.publish(ctx, "/tasks/exit", strange);
    const { value } = await iterator.next();
    expect([value?.namespace, value?.topic, value?.event]).toEqual(["blue", "/tasks/exit", strange]);
    expect(value?.timestamp).toMatchObject({ seconds: 1767323045n, nanos: 678_901_234 });
  });

  test("gives every subscriber everything from when it came, of all namespaces", async () => {
    const on = exchange();
    const early = subscribe(on);
    on.publish(ctx, "/a", exit);
    const late = subscribe(on);
    on.publish(createCtx({ namespace: "red" }), "/b", exit);
    expect(await topics(early, 2)).toEqual(["/a", "/b"]);
    expect(await topics(late, 1)).toEqual(["/b"]);
  });

  test("filters by topic, namespace and the event's fields, any of several", async () => {
    const on = exchange();
    const iterator = subscribe(on, ['topic=="/x"', "namespace==red,event.container_id==c"]);
    on.publish(ctx, "/a", exit);
    on.publish(ctx, "/x", exit);
    on.publish(createCtx({ namespace: "red" }), "/b", exit);
    expect(await topics(iterator, 2)).toEqual(["/x", "/b"]);
  });

  test("cuts off a subscriber that falls behind, and no other", async () => {
    const on = createExchange({ log: silentLogger, bounds: { maxItems: 10, maxBytes: 1e6 } });
    const slow = subscribe(on);
    const quick = subscribe(on);
    for (let count = 0; count < 30; count++) {
      on.publish(ctx, "/a", exit);
      await quick.next();
    }
    expect(await failureText(() => slow.next())).toStartWith("resourceExhausted: subscriber fell behind (10 events, ");
    expect((await slow.next()).done).toBe(true);
    on.publish(ctx, "/b", exit);
    expect(await topics(quick, 1)).toEqual(["/b"]);
  });

  test("that retires gives subscribers what waits for them and a last word, and takes no more", async () => {
    const on = exchange();
    const [first, second] = [subscribe(on), subscribe(on)];
    const room = on.subscribe(createCtx(), [])[Symbol.asyncIterator]();
    on.publish(ctx, "/a", exit);
    expect(await topics(second, 1)).toEqual(["/a"]);
    const waiting = failureText(() => second.next());
    expect([on.retire(), on.retired]).toEqual([2, true]);
    on.publish(ctx, "/b", exit);
    expect(await topics(first, 1)).toEqual(["/a"]);
    const lastWord = "unavailable: the daemon is being replaced; subscribe again";
    expect(await failureText(() => first.next())).toStartWith(lastWord);
    expect(await waiting).toStartWith(lastWord);
    expect((await first.next()).done).toBe(true);
    expect(await topics(room, 1)).toEqual(["/a"]);
    expect((await room.next()).done).toBe(true);
    expect(await failureText(async () => on.subscribe(createCtx(), []))).toStartWith(lastWord);
    const envelope = create(EnvelopeSchema, {
      namespace: "blue",
      topic: "/c",
      timestamp: now().toTimestamp(),
      event: exit,
    });
    expect(await failureText(async () => on.forward(envelope))).toStartWith("unavailable");
  });

  test("of a successor gives each one who comes back all that it missed, once and in order", async () => {
    const on = createExchange({ log: silentLogger, now, returning: { subscribers: 2, forMs: 60_000 } });
    const envelope = create(EnvelopeSchema, {
      namespace: "blue",
      topic: "/x",
      timestamp: now().toTimestamp(),
      event: exit,
    });
    expect(on.forward(envelope)).toBe(1);
    on.publish(ctx, "/a", exit);
    const first = subscribe(on, ['topic=="/a"', 'topic=="/b"']);
    on.publish(ctx, "/b", exit);
    expect(on.awaited).toBe(1);
    const second = subscribe(on);
    expect(on.awaited).toBe(0);
    on.publish(ctx, "/c", exit);
    expect(await topics(first, 2)).toEqual(["/a", "/b"]);
    expect(await topics(second, 4)).toEqual(["/x", "/a", "/b", "/c"]);
    const stranger = subscribe(on);
    on.publish(ctx, "/d", exit);
    expect(await topics(stranger, 1)).toEqual(["/d"]);
  });

  test("of a successor waits for nobody longer than it was told, nor for more than can be queued", async () => {
    const brief = createExchange({ log: silentLogger, now, returning: { subscribers: 1, forMs: 1 } });
    brief.publish(ctx, "/a", exit);
    await Bun.sleep(20);
    expect(brief.awaited).toBe(0);
    const bounds = { maxItems: 2, maxBytes: 1e6 };
    const full = createExchange({ log: silentLogger, now, bounds, returning: { subscribers: 1, forMs: 60_000 } });
    for (const topic of ["/a", "/b", "/c"]) full.publish(ctx, topic, exit);
    expect(full.awaited).toBe(0);
    const late = subscribe(full);
    full.publish(ctx, "/d", exit);
    expect(await topics(late, 1)).toEqual(["/d"]);
  });

  test("ends with the caller: quietly when it went away, with its reason when its time is up", async () => {
    const on = exchange();
    const gone = new AbortController();
    const left = subscribe(on, [], createCtx({ signal: gone.signal }));
    const late = new AbortController();
    const overdue = subscribe(on, [], createCtx({ signal: late.signal }));
    const waiting = [left.next(), failureText(() => overdue.next())];
    gone.abort();
    late.abort(fault("deadlineExceeded", ""));
    expect(await Promise.all(waiting)).toEqual([
      { done: true, value: undefined },
      "deadlineExceeded: context deadline exceeded",
    ]);
    expect((await subscribe(on, [], createCtx({ signal: gone.signal })).next()).done).toBe(true);
  });

  test("an observer hears of everything, takes nothing from anybody, and one that fails hears the next as well", () => {
    const on = exchange();
    const heard: string[] = [];
    const observing = on.observe(({ topic }) => {
      heard.push(topic);
      throw new Error("an observer's own trouble");
    });
    const timestamp = { seconds: 1n, nanos: 2 };
    const envelope = create(EnvelopeSchema, { namespace: "blue", topic: "/x", timestamp, event: exit });
    expect(on.forward(envelope)).toBe(0);
    expect(on.subscriptions).toBe(0);
    on.publish(ctx, "/y", exit);
    observing[Symbol.dispose]();
    on.publish(ctx, "/z", exit);
    expect(heard).toEqual(["/x", "/y"]);
  });

  test("forward keeps the envelope and says how many took it", async () => {
    const on = exchange();
    const envelope = create(EnvelopeSchema, {
      namespace: "n",
      topic: "/t",
      timestamp: { seconds: 9n, nanos: 8 },
      event: exit,
    });
    expect(on.forward(envelope)).toBe(0);
    const iterator = subscribe(on);
    expect(on.forward(envelope)).toBe(1);
    expect((await iterator.next()).value).toBe(envelope);
  });

  test.each([
    ["", "must not be empty"],
    ["tasks", "must start with '/'"],
    ["/", "must have at least one component"],
    ["/a//b", 'failed validation on component "": identifier must not be empty'],
    [
      "/a/..",
      'failed validation on component "..": identifier ".." must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$',
    ],
  ])("refuses the topic %p", async (topic, problem) => {
    expect(await failureText(() => exchange().publish(ctx, topic, exit))).toBe(
      `invalidArgument: envelope topic ${JSON.stringify(topic)}: ${problem}: invalid argument`,
    );
  });

  test("refuses an envelope without a time, and a filter that doesn't parse", async () => {
    const envelope = create(EnvelopeSchema, { namespace: "n", topic: "/t", event: exit });
    expect(await failureText(() => exchange().forward(envelope))).toBe(
      "invalidArgument: timestamp must be set on forwarded event: invalid argument",
    );
    expect(() => exchange().subscribe(createCtx(), ["topic="])).toThrow(FaultError);
  });
});

describe("envelopeFields", () => {
  function holds<D extends DescMessage>(schema: D, event: MessageInitShape<D>, filter: string): boolean {
    const envelope = create(EnvelopeSchema, { event: anyOf(schema, create(schema, event)) });
    return parseFilters([filter]).matches(envelopeFields(envelope));
  }

  test.each([
    ["event.container_id==c", true],
    ["event.exit_status==137", true],
    ["event.exit_status!=0", true],
    ["event.pid", true],
    ["event.nope", false],
    ["event.exited_at", false],
    ["event", false],
    ["timestamp", false],
  ])("a task's exit: %p is %p", (filter, want) => {
    expect(holds(TaskExitSchema, { containerId: "c", id: "c", pid: 7, exitStatus: 137 }, filter)).toBe(want);
  });

  test.each([
    ["event.runtime.name==runc", true],
    ["event.runtime.options.stdout==out", false],
    ["event.image", false],
  ])("a container's creation: %p is %p", (filter, want) => {
    const options = anyOf(TaskIOSchema, create(TaskIOSchema, { stdout: "in" }));
    expect(holds(ContainerCreateSchema, { id: "c", runtime: { name: "runc", options } }, filter)).toBe(want);
  });

  test("walks into an Any and booleans have text", () => {
    const options = anyOf(TaskIOSchema, create(TaskIOSchema, { stdout: "out" }));
    const event = { id: "c", runtime: { name: "runc", options } };
    expect(holds(ContainerCreateSchema, event, "event.runtime.options.stdout==out")).toBe(true);
    expect(holds(ContainerCreateSchema, event, "event.runtime.options.terminal==false")).toBe(true);
  });

  test("labels are reached by their whole key", () => {
    const labels = { "io.example/a.b": "1", __proto__x: "2" };
    expect(holds(ContainerUpdateSchema, { id: "c", labels }, 'event.labels."io.example/a.b"==1')).toBe(true);
    expect(holds(ContainerUpdateSchema, { id: "c", labels }, 'event.labels.io."example/a".b==1')).toBe(true);
    expect(holds(ImageCreateSchema, { name: "i", labels }, "event.labels.constructor")).toBe(false);
    expect(holds(ImageCreateSchema, { name: "i", labels }, "event.name==i")).toBe(true);
  });

  test("an unknown type, or bytes that are not their type's, have no fields", () => {
    for (const event of [
      { ...exit, typeUrl: "x/Y" },
      { ...exit, value: new Uint8Array([255, 255, 255]) },
    ]) {
      const fields = envelopeFields(create(EnvelopeSchema, { event }));
      expect(fields(["event", "container_id"])).toEqual({ value: "", present: false });
    }
  });

  test("a type url with a host is known too", () => {
    const fields = envelopeFields(
      create(EnvelopeSchema, { event: { ...exit, typeUrl: `type.googleapis.com/${exit.typeUrl}` } }),
    );
    expect(fields(["event", "container_id"]).value).toBe("c");
  });
});
