import { describe, expect, test } from "bun:test";
import { definePlugin, kind, type Needs, optional, type PluginDefinition, token } from "./define.ts";
import { orderPlugins } from "./graph.ts";

const A = kind<string>("t.a.v1");
const B = kind<string>("t.b.v1");
const a1 = token<string>(A, "one");
const b1 = token<string>(B, "one");

const plugin = (type: typeof A, id: string, requires: Needs = {}): PluginDefinition =>
  definePlugin({ type, id, requires, init: () => id });
const uris = (plugins: readonly PluginDefinition[]): string[] => plugins.map((one) => one.uri);

describe("orderPlugins", () => {
  test("puts needs first, depth first, else keeps the order of the list", () => {
    const list = [plugin(B, "two", { b1 }), plugin(B, "one", { all: A }), plugin(A, "two"), plugin(A, "one")];
    expect(uris(orderPlugins(list, new Set()))).toEqual(["t.a.v1.two", "t.a.v1.one", "t.b.v1.one", "t.b.v1.two"]);
  });
  test("orders optional needs too", () => {
    const list = [plugin(B, "one", { a: optional(a1) }), plugin(A, "one")];
    expect(uris(orderPlugins(list, new Set()))).toEqual(["t.a.v1.one", "t.b.v1.one"]);
  });
  test("leaves out disabled plugins and keeps what needs them", () => {
    const list = [plugin(B, "one", { a1 }), plugin(A, "one")];
    expect(uris(orderPlugins(list, new Set(["t.a.v1.one"])))).toEqual(["t.b.v1.one"]);
  });
  test("names the whole circle", () => {
    const list = [plugin(A, "one", { b1 }), plugin(B, "one", { a1 })];
    expect(() => orderPlugins(list, new Set())).toThrow(
      "plugin: dependency loop detected: t.a.v1.one -> t.b.v1.one -> t.a.v1.one",
    );
  });
  test("refuses a URI twice", () => {
    expect(() => orderPlugins([plugin(A, "one"), plugin(A, "one")], new Set())).toThrow(
      "t.a.v1.one: plugin: id already registered",
    );
  });
});
