import { describe, expect, test } from "bun:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { type Container, ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import type { Envelope } from "../../gen/containerd/types/event_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { Instant } from "../../lib/instant.ts";
import { silentLogger } from "../../lib/log.ts";
import { anyOfJson, ociTypeUrls } from "../../wire/any.ts";
import { createExchange } from "../events/index.ts";
import { openTestMetadata } from "../metadata/testing.ts";
import { createNamespaceStore, namespacesSchema } from "../namespaces/index.ts";
import { type ContainerStore, containersSchema, createContainerStore } from "./index.ts";

const ctx = createCtx({ namespace: "n" });
const spec = anyOfJson(ociTypeUrls.spec, { ociVersion: "1.2.0" });

interface Fixture extends AsyncDisposable {
  readonly store: ContainerStore;
  readonly events: AsyncIterator<Envelope>;
  setTime(ms: number): void;
}

function fixture(): Fixture {
  const opened = openTestMetadata([namespacesSchema, containersSchema]);
  const exchange = createExchange({ log: silentLogger });
  let ms = 1_000_000;
  const namespaces = createNamespaceStore({ metadata: opened.metadata, exchange });
  const store = createContainerStore({
    metadata: opened.metadata,
    exchange,
    namespaces,
    clock: () => Instant.ofMs(ms),
  });
  return {
    store,
    events: exchange.subscribe(createCtx(), [])[Symbol.asyncIterator](),
    setTime: (to) => {
      ms = to;
    },
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

function box(id: string, more: Partial<Container> = {}): Container {
  return { ...create(ContainerSchema, { id, runtime: { name: "io.containerd.runc.v2" }, spec }), ...more };
}

describe("ContainerStore", () => {
  test("gives back what it was given, byte for byte, and the times", async () => {
    await using at = fixture();
    const unknown = { ...spec, typeUrl: "types.example/Odd", value: new Uint8Array([0, 255, 1]) };
    const given = box("a", {
      image: "i",
      sandbox: "s",
      snapshotter: "o",
      snapshotKey: "k",
      extensions: { e: unknown },
      labels: { __proto__x: "1", l: "2" },
    });
    const made = await at.store.create(ctx, given);
    const read = at.store.get(ctx, "a");
    expect(toBinary(ContainerSchema, read)).toEqual(toBinary(ContainerSchema, made));
    expect([read.extensions["e"], read.spec, read.sandbox, read.labels]).toEqual([unknown, spec, "s", given.labels]);
    expect([timestampMs(read.createdAt!), timestampMs(read.updatedAt!)]).toEqual([1_000_000, 1_000_000]);
  });

  test("keeps fields that it doesn't know", async () => {
    await using at = fixture();
    const $unknown = [{ no: 999, wireType: 2 as const, data: new Uint8Array([3, 1, 2, 3]) }];
    await at.store.create(ctx, { ...box("a"), $unknown });
    expect(at.store.get(ctx, "a").$unknown).toEqual($unknown);
  });

  test("an update is never older than the creation, even when the clock was set back", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("a"));
    at.setTime(5);
    const updated = await at.store.update(ctx, box("a", { image: "new" }), ["image"]);
    expect([timestampMs(updated.createdAt!), timestampMs(updated.updatedAt!)]).toEqual([1_000_000, 1_000_000]);
  });

  test("masks touch what they name; a key without a new value goes", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("a", { labels: { a: "1", b: "2" }, extensions: { x: spec, y: spec } }));
    const wanted = box("a", { labels: { a: "9", c: "3" }, extensions: { z: spec }, image: "ignored" });
    await at.store.update(ctx, wanted, ["labels.a", "labels.b", "labels.constructor", "extensions.x", "extensions.z"]);
    const read = at.store.get(ctx, "a");
    expect([read.labels, Object.keys(read.extensions).sort(), read.image]).toEqual([{ a: "9" }, ["y", "z"], ""]);
  });

  test("an update that is refused changes nothing", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("a", { image: "old" }));
    expect(await failureText(() => at.store.update(ctx, box("a", { image: "new" }), ["image", "nonsense"]))).toBe(
      'invalidArgument: cannot update "nonsense" field on "a": invalid argument',
    );
    expect(at.store.get(ctx, "a").image).toBe("old");
  });

  test("of many that create the same id at once, one succeeds", async () => {
    await using at = fixture();
    const answers = await Promise.all(
      Array.from({ length: 10 }, () => failureText(() => at.store.create(ctx, box("a")))),
    );
    expect(answers.filter((answer) => answer === "no failure").length).toBe(1);
    expect(new Set(answers)).toEqual(new Set(["no failure", 'alreadyExists: container "a": already exists']));
  });

  test("lists by id within the namespace, and by filters", async () => {
    await using at = fixture();
    for (const id of ["c", "a", "b"]) await at.store.create(ctx, box(id, { labels: { id } }));
    await at.store.create(createCtx({ namespace: "m" }), box("z"));
    const ids = (...filters: string[]): string[] => at.store.list(ctx, filters).map((container) => container.id);
    expect([ids(), ids("labels.id~=[ab]"), ids("id==a", "id==c"), ids("id==z")]).toEqual([
      ["a", "b", "c"],
      ["a", "b"],
      ["a", "c"],
      [],
    ]);
  });

  test("tells of each change once it is durable", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("a", { image: "i" }));
    await at.store.update(ctx, box("a", { labels: { l: "1" } }), ["labels"]);
    await at.store.delete(ctx, "a");
    const seen = [await at.events.next(), await at.events.next(), await at.events.next()].map(
      ({ value }) => value as Envelope,
    );
    expect(seen.map((envelope) => [envelope.namespace, envelope.topic, envelope.event?.typeUrl])).toEqual([
      ["n", "/containers/create", "containerd.events.ContainerCreate"],
      ["n", "/containers/update", "containerd.events.ContainerUpdate"],
      ["n", "/containers/delete", "containerd.events.ContainerDelete"],
    ]);
  });
});

describe("ContainerStore.supervised", () => {
  const status = "containerd.io/restart.status";

  test("finds those that are kept running, in parts, as their labels come and go", async () => {
    await using at = fixture();
    const red = createCtx({ namespace: "m" });
    for (const id of ["a", "b", "c"]) await at.store.create(ctx, box(id, { labels: { [status]: "running" } }));
    for (const id of ["d", "e"]) await at.store.create(ctx, box(id));
    await at.store.create(red, box("a", { labels: { [status]: "stopped" } }));
    await at.store.update(ctx, box("b"), [`labels.${status}`]);
    await at.store.update(ctx, box("e", { labels: { [status]: "running" } }), [`labels.${status}`]);
    const first = at.store.supervised(undefined, 2);
    const rest = at.store.supervised(first.at(-1), 9);
    expect([...first, ...rest].map(({ namespace, id }) => `${namespace}/${id}`)).toEqual(["m/a", "n/a", "n/c", "n/e"]);
    const found = (id: string): string | undefined => at.store.findSupervised({ namespace: "n", id })?.id;
    expect([found("a"), found("b"), found("x")]).toEqual(["a", undefined, undefined]);
  });

  test("finds those that an older lighter has stored", async () => {
    await using opened = openTestMetadata([
      namespacesSchema,
      { room: "containers", migrations: containersSchema.migrations.slice(0, 1) },
    ]);
    const old = (id: string, labels: Record<string, string>): Promise<void> =>
      opened.metadata.update((tx) => {
        const message = toBinary(ContainerSchema, box(id, { labels }));
        tx.db.query("INSERT INTO containers VALUES ('n', ?, '', '', '', ?)").run(id, message);
      });
    await old("a", { [status]: "running" });
    await old("b", { other: "label" });
    await opened.metadata.update((tx) => tx.db.run(containersSchema.migrations[1] ?? ""));
    const exchange = createExchange({ log: silentLogger });
    const store = createContainerStore({ metadata: opened.metadata, exchange });
    expect(store.supervised(undefined, 9).map(({ id }) => id)).toEqual(["a"]);
    expect(store.findSupervised({ namespace: "n", id: "a" })?.labels).toEqual({ [status]: "running" });
  });
});

describe("ContainerStore.relabel", () => {
  test("changes labels by what stands there, or nothing at all", async () => {
    await using at = fixture();
    await at.store.create(ctx, box("a", { labels: { count: "1", gone: "x", kept: "y" } }));
    const counted = await Promise.all(
      Array.from({ length: 5 }, () =>
        at.store.relabel(ctx, "a", ({ labels }) => ({ count: String(Number(labels["count"]) + 1), gone: "" })),
      ),
    );
    expect(counted.map((one) => one?.labels["count"])).toEqual(["2", "3", "4", "5", "6"]);
    expect(at.store.get(ctx, "a").labels).toEqual({ count: "6", kept: "y" });
    expect(await at.store.relabel(ctx, "a", () => undefined)).toBeUndefined();
    expect(await at.store.relabel(ctx, "b", () => ({ a: "b" }))).toBeUndefined();
  });
});
