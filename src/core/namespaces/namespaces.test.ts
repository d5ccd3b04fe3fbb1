import { describe, expect, test } from "bun:test";
import { type Ctx, createCtx } from "../../lib/ctx.ts";
import { failureText } from "../../lib/fault-testing.ts";
import { silentLogger } from "../../lib/log.ts";
import { createExchange } from "../events/index.ts";
import { openTestMetadata } from "../metadata/testing.ts";
import { requireNamespace } from "../required-namespace.ts";
import { createNamespaceStore, ensureNamespace, type NamespaceStore, namespacesSchema } from "./index.ts";

const ctx: Ctx = createCtx();

interface Fixture extends AsyncDisposable {
  readonly store: NamespaceStore;
  readonly topics: readonly string[];
  readonly touch: (name: string) => Promise<void>;
}

function fixture(): Fixture {
  const opened = openTestMetadata([namespacesSchema]);
  const { metadata } = opened;
  const exchange = createExchange({ log: silentLogger });
  const topics: string[] = [];
  const publish = exchange.publish.bind(exchange);
  const store = createNamespaceStore({
    metadata,
    exchange: {
      ...exchange,
      publish: (of, topic, event) => {
        topics.push(`${of.namespace} ${topic}`);
        publish(of, topic, event);
      },
    },
  });
  return {
    store,
    topics,
    touch: (name) => metadata.update((tx) => ensureNamespace(tx, name)),
    [Symbol.asyncDispose]: () => opened[Symbol.asyncDispose](),
  };
}

const labels = (...pairs: [string, string][]): Map<string, string> => new Map(pairs);

describe("NamespaceStore", () => {
  test("create, list, labels, update, delete, each with an event in the namespace it is about", async () => {
    await using at = fixture();
    await at.store.create(ctx, { name: "b", labels: labels(["k", "v"], ["gone", ""]) });
    await at.store.create(ctx, { name: "a", labels: labels() });
    await at.store.update(ctx, { name: "b", labels: labels(["m", "1"]) }, ["labels.m", "labels.k"]);
    expect(at.store.list()).toEqual([
      { name: "a", labels: labels() },
      { name: "b", labels: labels(["m", "1"]) },
    ]);
    await at.store.delete(ctx, "a");
    expect(at.topics).toEqual([
      "b /namespaces/create",
      "a /namespaces/create",
      "b /namespaces/update",
      "a /namespaces/delete",
    ]);
  });

  test("the labels of a namespace that is not there are empty", async () => {
    await using at = fixture();
    expect(at.store.labels("none")).toEqual(labels());
  });

  test("a write into a namespace makes it, once, without an event", async () => {
    await using at = fixture();
    await at.store.create(ctx, { name: "here", labels: labels(["k", "v"]) });
    await at.touch("here");
    await at.touch("new");
    expect(at.store.list().map((info) => info.name)).toEqual(["here", "new"]);
    expect(at.store.labels("here")).toEqual(labels(["k", "v"]));
    expect(at.topics.length).toBe(1);
  });

  test("delete lists what is left, in containerd's order", async () => {
    await using at = fixture();
    await at.touch("full");
    let occupied = true;
    for (const name of ['snapshots on "overlayfs" snapshotter', "containers", "blobs", "images"]) {
      at.store.registerOccupancy(name, (_db, namespace) => occupied && namespace === "full" && name !== "blobs");
    }
    expect(await failureText(() => at.store.delete(ctx, "full"))).toBe(
      'failedPrecondition: namespace "full" must be empty, but it still has images, containers, ' +
        'snapshots on "overlayfs" snapshotter: failed precondition',
    );
    occupied = false;
    await at.store.delete(ctx, "full");
    expect(await failureText(() => at.store.delete(ctx, "full"))).toBe('notFound: namespace "full": not found');
  });

  test("a label may be called __proto__", async () => {
    await using at = fixture();
    await at.store.create(ctx, { name: "n", labels: labels(["__proto__", "x"]) });
    expect(at.store.labels("n")).toEqual(labels(["__proto__", "x"]));
  });
});

describe("requireNamespace", () => {
  test.each([
    [undefined, "failedPrecondition: namespace is required: failed precondition"],
    ["", "failedPrecondition: namespace is required: failed precondition"],
    [
      "../x",
      'invalidArgument: namespace validation: identifier "../x" must match ^[A-Za-z0-9]+(?:[._-](?:[A-Za-z0-9]+))*$: invalid argument',
    ],
    ["default", "no failure"],
  ])("%p: %p", async (namespace, want) => {
    expect(await failureText(() => requireNamespace(createCtx({ namespace })))).toBe(want);
  });
});
