import { describe, expect, test } from "bun:test";
import {
  applyLabelPath,
  checkLabel,
  checkLabels,
  labelMap,
  labelRecord,
  labelsFromText,
  labelsToText,
} from "./labels.ts";

describe("checkLabel", () => {
  test("takes 4096 bytes and not one more, with containerd's text", () => {
    checkLabel("k", "v".repeat(4095));
    expect(() => checkLabel("k", "v".repeat(4096))).toThrow(
      "label key and value length (4097 bytes) greater than maximum size (4096 bytes), key: k: invalid argument",
    );
  });

  test("counts bytes, not characters, and shows 64 of a long key", () => {
    expect(() => checkLabel("k".repeat(100), "世".repeat(1400))).toThrow(
      `(4300 bytes) greater than maximum size (4096 bytes), key: ${"k".repeat(64)}: `,
    );
  });

  test("puts the context first", () => {
    expect(() => checkLabels({ a: "b".repeat(5000) }, "image.Labels")).toThrow(/^image.Labels: label key and value/);
  });
});

describe("labels", () => {
  test("keep a key named __proto__ through a row", () => {
    const labels = new Map([
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    expect(labelsFromText(labelsToText(labels))).toEqual(labels);
    expect(Object.hasOwn(labelRecord(labels), "__proto__")).toBe(true);
    expect(labelMap(labelRecord(labels))).toEqual(labels);
  });
});

describe("applyLabelPath", () => {
  const wanted = new Map([
    ["a", "1"],
    ["b", ""],
  ]);

  test.each([
    ["labels", true, [["a", "1"]]],
    [
      "labels.a",
      true,
      [
        ["a", "1"],
        ["b", "2"],
        ["c", "3"],
      ],
    ],
    [
      "labels.b",
      true,
      [
        ["a", "0"],
        ["c", "3"],
      ],
    ],
    [
      "labels.c",
      true,
      [
        ["a", "0"],
        ["b", "2"],
      ],
    ],
    [
      "image",
      false,
      [
        ["a", "0"],
        ["b", "2"],
        ["c", "3"],
      ],
    ],
  ] as const)("%s", (path, applied, want) => {
    const current = new Map([
      ["a", "0"],
      ["b", "2"],
      ["c", "3"],
    ]);
    expect(applyLabelPath(current, wanted, path)).toBe(applied);
    expect(Object.fromEntries(current)).toEqual(Object.fromEntries(want));
  });
});
