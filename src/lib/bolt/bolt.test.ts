import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FaultError } from "../faults.ts";
import { openBolt } from "./index.ts";
import {
  type BoltTree,
  boltTree,
  branchPage,
  expectClearEnd,
  fuzzBolt,
  plain,
  readAll,
  sealMeta,
  writeBolt,
} from "./testing.ts";

const pageBytes = 4096;
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "lighter-bolt-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function written(tree: BoltTree, change: (bytes: Buffer) => void = () => {}): string {
  const path = join(folder, `${crypto.randomUUID()}.db`);
  writeBolt(path, tree);
  const bytes = readFileSync(path);
  change(bytes);
  writeFileSync(path, bytes);
  return path;
}

const many = new Map(
  Array.from({ length: 1000 }, (_none, at) => [`key-${String(at).padStart(4, "0")}`, `value ${at}`]),
);

describe("openBolt", () => {
  test("reads values, buckets within values, buckets of their own and empty ones", () => {
    const tree = boltTree({
      small: boltTree({ a: "1", b: boltTree({ c: "2" }) }),
      large: many,
      none: boltTree({}),
      value: "plain",
    });
    const all = readAll(written(tree));
    expect(all["small"]).toEqual({ a: "1", b: { c: "2" } });
    expect(all["large"]).toEqual(Object.fromEntries(many));
    expect(all["none"]).toEqual({});
    expect(all["value"]).toBe("plain");
  });

  test("reads a value that runs over many pages", () => {
    const value = "x".repeat(100_000);
    expect(readAll(written(boltTree({ value })))).toEqual({ value });
  });

  test("finds one key without reading the others' pages", () => {
    using file = openBolt(written(boltTree({ large: many })));
    const large = file.root.bucket("large");
    expect(Buffer.from(large?.get("key-0777") ?? []).toString()).toBe("value 777");
    expect(large?.get("key-1000")).toBeUndefined();
    expect(large?.get("a")).toBeUndefined();
    expect(large?.bucket("key-0001")).toBeUndefined();
    expect(file.root.get("large")).toBeUndefined();
    expect(large?.sequence).toBe(1000n);
  });

  test("takes the newer of the two metas, and the older when the newer is torn", () => {
    const path = written(boltTree({ a: "1" }));
    {
      using file = openBolt(path);
      expect(file.transaction).toBe(2n);
    }
    const torn = written(boltTree({ a: "1" }), (bytes) => bytes.fill(0xff, 60, 70));
    using file = openBolt(torn);
    expect(file.transaction).toBe(1n);
    expect(plain(file.root)).toEqual({ a: "1" });
  });

  test("says that a file is not there", () => {
    expect(() => openBolt(join(folder, "absent"))).toThrow(/no such file/);
  });
});

describe("a file that is damaged", () => {
  const deep = boltTree({ large: many });
  /** The large bucket's branch page and its first leaf, as writeBolt lays them out. */
  const [leaf, branch] = [4, 24];
  const cases: readonly [string, (bytes: Buffer) => void, RegExp][] = [
    ["no meta", (bytes) => bytes.fill(0, 0, 2 * pageBytes), /no meta page is whole: it has not bolt's magic/],
    [
      "checksums",
      (bytes) => [60, pageBytes + 60].forEach((at) => void bytes.writeUInt8(0xee, at)),
      /checksum is wrong/,
    ],
    [
      "another version",
      (bytes) => [0, pageBytes].forEach((at) => void bytes.writeUInt32LE(1, at + 20)),
      /version 1 and not 2/,
    ],
    [
      "more pages than the file has",
      (bytes) => {
        for (const meta of [bytes.subarray(0, pageBytes), bytes.subarray(pageBytes, 2 * pageBytes)]) {
          meta.writeBigUInt64LE(1n << 40n, 56);
          sealMeta(meta);
        }
      },
      /should have 1099511627776 pages/,
    ],
    [
      "a branch that leads to itself",
      (bytes) => branchPage(branch, [{ child: branch, key: Buffer.from("key-0000") }]).copy(bytes, branch * pageBytes),
      /lies too deep/,
    ],
    [
      "a branch that leads to a leaf twice",
      (bytes) =>
        branchPage(branch, [
          { child: leaf, key: Buffer.from("key-0000") },
          { child: leaf, key: Buffer.from("key-0001") },
        ]).copy(bytes, branch * pageBytes),
      /a key that belongs to another/,
    ],
    [
      "a page beyond the end",
      (bytes) => bytes.writeBigUInt64LE(9999n, branch * pageBytes + 24),
      /page 9999 is not one/,
    ],
    [
      "a page number past all numbers",
      (bytes) => bytes.fill(0xff, branch * pageBytes + 24, branch * pageBytes + 32),
      /too large/,
    ],
    ["a page of another number", (bytes) => bytes.writeUInt8(9, leaf * pageBytes), /says that it is page 9/],
    ["a page of another type", (bytes) => bytes.writeUInt16LE(0x10, leaf * pageBytes + 8), /neither branch nor leaf/],
    ["a count too large", (bytes) => bytes.writeUInt16LE(60_000, leaf * pageBytes + 10), /60000 elements do not fit/],
    ["an overflow too large", (bytes) => bytes.writeUInt32LE(70_000, leaf * pageBytes + 12), /beyond the end/],
    ["a key without bytes", (bytes) => bytes.writeUInt32LE(0, leaf * pageBytes + 24), /a key has 0 bytes/],
    ["a key outside", (bytes) => bytes.writeUInt32LE(5000, leaf * pageBytes + 20), /ends beyond the page/],
    ["a value outside", (bytes) => bytes.writeUInt32LE(5000, leaf * pageBytes + 28), /ends beyond the page/],
    [
      "keys out of order",
      (bytes) => bytes.write("key-0049", bytes.indexOf("key-0001", leaf * pageBytes)),
      /out of order/,
    ],
  ];
  test.each(cases)("has %s: one clear error", (_name, change, text) => {
    const path = written(deep, change);
    const attempt = (): unknown => readAll(path);
    expect(attempt).toThrow(text);
    expect(attempt).toThrow(path);
    try {
      attempt();
    } catch (error) {
      expect((error as FaultError).kind).toBe("dataLoss");
    }
  });

  test("has a bucket that is its own child, or that two others have: refused", () => {
    const path = written(boltTree({ a: boltTree({ b: many }), c: many }), (bytes) => {
      // The header of `b`, and then of `a` again: their values are a root's number and a sequence of 1000.
      const sequence = Buffer.alloc(8);
      sequence.writeBigUInt64LE(1000n);
      const headers: number[] = [];
      for (let at = bytes.indexOf(sequence); at >= 0; at = bytes.indexOf(sequence, at + 1)) headers.push(at - 8);
      expect(headers).toHaveLength(2);
      bytes.copy(bytes, headers[1], headers[0], (headers[0] as number) + 8);
    });
    expect(() => readAll(path)).toThrow(/is the root of two buckets|belongs to two buckets/);
  });

  test("is empty, or ends anywhere: one clear error, or what was whole", () => {
    const path = written(deep);
    const whole = readFileSync(path);
    for (const length of [0, 1, 79, 80, 4096, 4200, 8192, 12_288, whole.length - 1]) {
      writeFileSync(path, whole.subarray(0, length));
      expectClearEnd(path);
    }
  });

  test("is larger than what is read: refused", () => {
    const path = written(deep);
    expect(() => openBolt(path, { fileBytes: 1000, pageBytes: 1 << 20 })).toThrow(/more than is read/);
    using file = openBolt(written(boltTree({ value: "x".repeat(100_000) })), { fileBytes: 1 << 30, pageBytes: 65_536 });
    expect(() => plain(file.root)).toThrow(/more than is read/);
  });
});

test("fuzz: 2000 broken copies of a written file end in a clear error or in data", () => {
  const labels = new Map(
    Array.from({ length: 100 }, (_none, at) => [`k${at}`, boltTree({ id: `${at}`, labels: boltTree({ a: "b" }) })]),
  );
  fuzzBolt(
    written(boltTree({ v1: boltTree({ default: boltTree({ images: labels, big: "y".repeat(20_000) }) }) })),
    2000,
  );
}, 240_000);
