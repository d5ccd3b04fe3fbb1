import { describe, expect, test } from "bun:test";
import { parseShimArguments } from "./arguments.ts";
import { hostPlace } from "./place.ts";

describe("parseShimArguments", () => {
  test("reads what a containerd passes, with one dash or two", () => {
    const words = ["-namespace", "ns", "--address=/a", "-publish-binary", "/p", "-id", "c1", "-debug", "start", "-x"];
    expect(parseShimArguments(words)).toEqual({
      action: "start",
      namespace: "ns",
      id: "c1",
      address: "/a",
      bundle: "",
      debug: true,
      version: false,
      info: false,
    });
  });
  test.each([
    [["-nosuch"], "flag provided but not defined: -nosuch"],
    [["-id"], "flag needs an argument: -id"],
  ])("refuses %j", (words, text) => {
    expect(() => parseShimArguments(words)).toThrow(text);
  });
});

describe("hostPlace", () => {
  test("is in the containerd's own state folder, and in /run where that is too deep or laid out otherwise", () => {
    const bundle = "/run/containerd/io.containerd.runtime.v2.task/ns/c1";
    expect(hostPlace(bundle, "/a").socket).toBe("/run/containerd/io.lighter.shim/host.sock");
    expect(hostPlace("/b/c", "/a").folder).toMatch(/^\/run\/lighter\/shims\/[0-9a-f]{16}$/);
    expect(hostPlace(`/${"d".repeat(120)}${bundle}`, "/a").folder).toStartWith("/run/lighter/shims/");
  });

  test("has room for the sockets of namespaces, whose names are the longest", () => {
    const task = "/io.containerd.runtime.v2.task/ns/c1";
    const longest = "/io.lighter.shim/ns-0123456789abcdef.sock".length;
    const state = (length: number): string => `/${"d".repeat(length - 1)}`;
    expect(hostPlace(state(107 - longest) + task, "/a").folder).toBe(`${state(107 - longest)}/io.lighter.shim`);
    expect(hostPlace(state(108 - longest) + task, "/a").folder).toStartWith("/run/lighter/shims/");
  });
});
