import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { type FaultError, isFault } from "./faults.ts";
import { absentField, type FieldAdaptor, mapField, nonEmptyField, parseFilters } from "./filters.ts";

/** What containerd's parser says of random filters: filters, fields, and match or error text. */
const corpus = readFileSync(new URL("filters.corpus.jsonl", import.meta.url), "utf8")
  .trimEnd()
  .split("\n")
  .map((line) => JSON.parse(line) as [string[], Record<string, string>, boolean | string]);

function adaptorOf(fields: Readonly<Record<string, string>>): FieldAdaptor {
  return (path) => {
    const value = fields[path.join(".")];
    return value === undefined ? absentField : { value, present: true };
  };
}

function outcome(filters: readonly string[], fields: Readonly<Record<string, string>>): boolean | string {
  try {
    return parseFilters(filters).matches(adaptorOf(fields));
  } catch (error) {
    expect(isFault(error, "invalidArgument")).toBe(true);
    return (error as FaultError).message;
  }
}

const image: FieldAdaptor = ([first, ...rest]) => {
  if (first === "name") return nonEmptyField("docker.io/library/busybox:latest");
  const labels = new Map([
    ["app", "web"],
    ["io.example/tier", "front"],
    ["empty", ""],
    ["__proto__", "own"],
  ]);
  return first === "labels" ? mapField(rest, labels) : absentField;
};

describe("parseFilters", () => {
  test("answers as containerd does on its recorded corpus, error texts included", () => {
    expect(corpus.length).toBeGreaterThan(300);
    for (const [filters, fields, want] of corpus) {
      expect([filters, fields, outcome(filters, fields)]).toEqual([filters, fields, want]);
    }
  });

  test.each([
    [[], true],
    [[""], true],
    [["name==docker.io/library/busybox:latest"], true],
    [["name!=other"], true],
    [["name~=busy"], true],
    [["name~=^busy"], false],
    [["name~=/^docker.io/"], true],
    [["name~=|^docker.io/library|"], true],
    [["labels.app"], true],
    [["labels.nope"], false],
    [["labels.nope!=x"], true],
    [["labels.empty"], true],
    [["labels.app==web,name==nope"], false],
    [["name==nope", "labels.app==web"], true],
    [['labels."io.example/tier"==front'], true],
    [['labels."io.example/tier"=="fr\\x6fnt"'], true],
    [["labels.__proto__==own"], true],
    [["labels.constructor"], false],
    [["nope"], false],
  ] as const)("holds %p: %p", (filters, want) => {
    expect(parseFilters(filters).matches(image)).toBe(want);
  });

  test("refuses a regular expression that doesn't compile, and shows where it stands", () => {
    expect(outcome(["name~=["], {})).toBe(
      "filters: parse error: [name~= >|[|< ]: error parsing regexp: missing closing ]: `[`: invalid argument",
    );
  });

  test("refuses more filters, or longer ones, than anyone means", () => {
    expect(
      outcome(
        Array.from({ length: 1001 }, () => "a"),
        {},
      ),
    ).toBe("filters: more than 1000 filters: invalid argument");
    expect(outcome(["a".repeat(70_000)], {})).toBe("filters: filter is longer than 65536 characters: invalid argument");
  });

  test("reads back any value that was quoted", () => {
    const random = createRandom(4711);
    for (let round = 0; round < 2000; round++) {
      const value = randomText(random);
      const literal = quoteAsGo(value);
      expect([literal, outcome([`labels.x==${literal}`], { "labels.x": value })]).toEqual([literal, true]);
      expect(outcome([`labels.x!=${literal}`], { "labels.x": value })).toBe(false);
      expect(outcome([`${literal}==a`], { [value]: "a" })).toBe(true);
    }
  });

  test("ends in a filter or in invalidArgument, whatever it is given", () => {
    const random = createRandom(42);
    for (let round = 0; round < 5000; round++) {
      const text = Array.from({ length: random(12) }, () => pieces[random(pieces.length)]).join("");
      expect(typeof outcome([text], { a: "b" })).toMatch(/boolean|string/);
    }
  });
});

const pieces = [
  "a",
  "labels",
  ".",
  ",",
  "==",
  "~=",
  "!=",
  "=",
  '"',
  "/",
  "|",
  "\\",
  "x",
  "(",
  "[",
  "*",
  " ",
  "\n",
  "\0",
  "世",
  "😀",
  "\ud800",
];

/** A small linear congruential generator, so that a failure comes again. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return (state >> 8) % below;
  };
}

function randomText(random: (below: number) => number): string {
  const chars = ["a", "Z", "0", ".", ",", "=", '"', "\\", "/", "|", " ", "\n", "\t", "\u0001", "é", "世", "😀"];
  return Array.from({ length: random(8) }, () => chars[random(chars.length)]).join("");
}

function quoteAsGo(value: string): string {
  const escaped = Array.from(value).map((char) => {
    if (char === '"' || char === "\\") return `\\${char}`;
    const code = char.codePointAt(0) as number;
    return code < 0x20 ? `\\x${code.toString(16).padStart(2, "0")}` : char;
  });
  return `"${escaped.join("")}"`;
}
