import { describe, expect, test } from "bun:test";
import { messageOf } from "../lib/faults.ts";
import { silentLogger } from "../lib/log.ts";
import { definePlugin, kind, optional, type PluginDefinition, SkipPlugin, token } from "./define.ts";
import { type StartedPlugins, startPlugins } from "./lifecycle.ts";
import { table, text } from "./schema.ts";
import { defaultTimeLimits } from "./timeouts.ts";

const A = kind<string>("t.a.v1");
const B = kind<number>("t.b.v1");
const good = token<string>(A, "good");
const bad = token<string>(A, "bad");

const start = (plugins: readonly PluginDefinition[], required: readonly string[] = []): Promise<StartedPlugins> =>
  startPlugins({
    plugins,
    required,
    daemon: {
      root: "/r",
      state: "/s",
      grpcAddress: "/g",
      ttrpcAddress: "/t",
      streamProcessors: new Map(),
      timeouts: defaultTimeLimits,
    },
    log: silentLogger,
    config: (plugin) => plugin.config.decode(undefined, [], { unknown: () => {}, invalid: () => {} }),
  });

const goodPlugin = definePlugin({ type: A, id: "good", init: () => "value" });
const badPlugin = definePlugin({
  type: A,
  id: "bad",
  init: () => {
    throw new Error("broken");
  },
});
const skippedPlugin = definePlugin({
  type: A,
  id: "skipped",
  init: () => {
    throw new SkipPlugin("not here");
  },
});

/** What a promise fails with, as text. */
const failure = (promise: Promise<unknown>): Promise<string> => promise.then(() => "no failure", messageOf);

describe("startPlugins", () => {
  test("hands needs over, typed, and tells a plugin its folders", async () => {
    const count = definePlugin({
      type: B,
      id: "count",
      requires: { good, all: A },
      init: ({ good: text, all }, context) => {
        context.meta.exports.set("root", context.root);
        return text.length + all.size;
      },
    });
    await using started = await start([goodPlugin, badPlugin, count]);
    expect(started.get(token<number>(B, "count"))).toBe(6);
    expect(started.view.find("t.b.v1", "count")?.requires).toEqual(["t.a.v1"]);
    expect(started.view.find("t.b.v1", "count")?.meta.exports.get("root")).toBe("/r/t.b.v1.count");
  });
  test("records a failure and goes on; what needs it fails for the same reason", async () => {
    const needy = definePlugin({ type: B, id: "needy", requires: { bad }, init: () => 1 });
    const content = definePlugin({
      type: B,
      id: "content",
      requires: { bad: optional(bad) },
      init: (given) => (given.bad === undefined ? 1 : 2),
    });
    await using started = await start([badPlugin, needy, content]);
    expect(started.view.find("t.a.v1", "bad")?.failure?.error.message).toBe("broken");
    expect(started.view.find("t.b.v1", "needy")?.failure?.error.message).toBe("needs t.a.v1.bad: broken");
    expect(started.get(token<number>(B, "content"))).toBe(1);
  });
  test("skips what needs a skipped plugin", async () => {
    const needy = definePlugin({ type: B, id: "needy", requires: { it: token<string>(A, "skipped") }, init: () => 1 });
    await using started = await start([skippedPlugin, needy]);
    expect(started.view.all().map((record) => record.failure?.skipped)).toEqual([true, true]);
    expect(started.view.all()[0]?.failure?.error.message).toBe("not here: skip plugin");
  });
  test("says in containerd's words that a needed plugin is absent", async () => {
    const needy = definePlugin({ type: B, id: "needy", requires: { good }, init: () => 1 });
    await using started = await start([needy]);
    expect(started.view.all()[0]?.failure?.error.message).toBe(
      "no plugins registered for t.a.v1.good: plugin: not found",
    );
  });
  test("stops when a required plugin fails, is skipped or is absent, and closes what had started", async () => {
    const closed: string[] = [];
    const open = definePlugin({
      type: B,
      id: "open",
      init: (_given, context) => {
        context.scope.defer(() => void closed.push("open"));
        return 1;
      },
    });
    expect(await failure(start([open, badPlugin], ["t.a.v1.bad"]))).toMatch("load required plugin t.a.v1.bad: broken");
    expect(await failure(start([skippedPlugin], ["t.a.v1.skipped"]))).toMatch("load required plugin t.a.v1.skipped");
    expect(await failure(start([open], ["t.x.v1.y"]))).toMatch("required plugin [t.x.v1.y] not included");
    expect(closed).toEqual(["open", "open"]);
  });
  test("closes in reverse, also past a part that fails to close, and a failed plugin's own parts at once", async () => {
    const closed: string[] = [];
    const opens = (id: string, fails = false): PluginDefinition =>
      definePlugin({
        type: B,
        id,
        init: (_given, context) => {
          context.scope.defer(() => void closed.push(id));
          context.scope.defer(() => {
            if (id === "two") throw new Error("stuck");
          });
          if (fails) throw new Error("late");
          return 1;
        },
      });
    const started = await start([opens("one"), opens("two"), opens("failed", true), opens("three")]);
    expect(closed).toEqual(["failed"]);
    await started[Symbol.asyncDispose]();
    expect(closed).toEqual(["failed", "three", "two", "one"]);
  });
});

describe("StartedPlugins.prepare", () => {
  const told: string[] = [];
  const live = (id: string, wrong: string): PluginDefinition =>
    definePlugin({
      type: A,
      id,
      config: table({ level: text("old"), root: text() }),
      live: ["level"],
      init: (_given, { config, onReload }) => {
        onReload(({ level }) => {
          if (level === wrong) throw new Error(`${id} cannot be ${level}`);
          return () => told.push(`${id} is ${level}`);
        });
        return config.level;
      },
    });
  const next = (level: string): ReadonlyMap<string, unknown> =>
    new Map(["one", "two"].map((id) => [`t.a.v1.${id}`, { level, root: "" }]));

  test("puts new settings in force for all plugins at once, when it is told to", async () => {
    await using started = await start([live("one", ""), live("two", "")]);
    const commit = await started.prepare(next("new"));
    expect(told).toEqual([]);
    commit();
    expect(told.splice(0)).toEqual(["one is new", "two is new"]);
  });
  test("fails with the name of the plugin that cannot take them, and none has changed", async () => {
    await using started = await start([live("one", ""), live("two", "bad")]);
    expect(await failure(started.prepare(next("bad")))).toBe("t.a.v1.two: two cannot be bad");
    expect(told).toEqual([]);
  });
  test("leaves out plugins that did not start", async () => {
    const broken = definePlugin({
      type: A,
      id: "one",
      init: (_given, { onReload }) => {
        onReload(() => () => told.push("never"));
        throw new Error("broken");
      },
    });
    await using started = await start([broken, live("two", "")]);
    (await started.prepare(next("new")))();
    expect(told.splice(0)).toEqual(["two is new"]);
  });
});
