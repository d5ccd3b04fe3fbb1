import { describe, expect, test } from "bun:test";
import { failureText } from "../../lib/fault-testing.ts";
import { formatMount } from "./format-mounts.ts";

const before = [0, 1, 2].map((n) => ({
  type: "ext4",
  source: `/s${n}`,
  target: `t${n}`,
  options: [],
  mountPoint: `/m/${n}`,
}));
const format = (text: string): string =>
  formatMount({ type: "x", source: text, target: "", options: [] }, before).source;

describe("formatMount", () => {
  test.each([
    ["plain", "plain"],
    ["{{ mount 0 }}/upper", "/m/0/upper"],
    ["{{mount 1}}", "/m/1"],
    ["a {{- source 2 -}} b", "a/s2b"],
    ["lowerdir={{ overlay 0 2 }}", "lowerdir=/m/0:/m/1:/m/2"],
    ["{{ overlay 2 1 }}:{{ target 0 }}", "/m/2:/m/1:t0"],
    ["{ } }}", "{ } }}"],
  ])("%p becomes %p", (text, want) => expect(format(text)).toBe(want));

  test.each([
    ["{{ mount 3 }}", "unknown: index out of bounds: 3, has 3 active mounts"],
    ["{{ mount -1 }}", "unknown: index out of bounds: -1, has 3 active mounts"],
    ["{{ overlay 1 3 }}", "unknown: invalid range: 1-3, has 3 active mounts"],
    ["{{ mount }}", "unknown: template: :1: wrong number of args for mount: want 1 got 0"],
    ["{{ mount x }}", "unknown: template: :1: expected integer; found x"],
    ["{{ env 0 }}", 'unknown: template: :1: function "env" not defined'],
    ["{{ mount 0", 'unknown: template: "{{ mount 0": not understood'],
    ['{{ printf "%s" "x" }}', 'unknown: template: "{{ printf \\"%s\\" \\"x\\" }}": not understood'],
  ])("%p is refused", async (text, want) => expect(await failureText(() => format(text))).toBe(want));

  test("fills in every part of a mount", () => {
    const text = "{{ mount 0 }}";
    const request = { type: text, source: text, target: text, options: ["ro", text] };
    expect(formatMount(request, before)).toEqual({
      type: text,
      source: "/m/0",
      target: "/m/0",
      options: ["ro", "/m/0"],
    });
  });
});
