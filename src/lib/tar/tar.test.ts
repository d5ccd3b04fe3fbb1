import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  byteString,
  encodeHeader,
  endMark,
  noXattrs,
  paddingFor,
  type TarEntry,
  TarError,
  TarReader,
  zeroTime,
} from "./index.ts";
import { formatPaxRecord, formatPaxTime, parsePax, paxTime } from "./pax.ts";

const plain: TarEntry = {
  name: "f",
  linkName: "",
  kind: "file",
  mode: 0o644,
  uid: 0,
  gid: 0,
  sizeBytes: 0,
  mtime: zeroTime,
  devMajor: 0,
  devMinor: 0,
  xattrs: noXattrs,
};

interface Read {
  readonly entry: TarEntry;
  readonly data: Buffer;
}

/** Reads an archive in pieces of that size. */
function readAll(archive: Uint8Array, pieceBytes = 1 << 20): Read[] {
  const found: { entry: TarEntry; data: Buffer }[] = [];
  const reader = new TarReader({
    entry: (entry) => found.push({ entry, data: Buffer.alloc(entry.sizeBytes) }),
    data: (bytes, offset) => found.at(-1)?.data.set(bytes, offset),
    end: () => {},
  });
  for (let at = 0; at < archive.length; at += pieceBytes) reader.push(archive.subarray(at, at + pieceBytes));
  reader.finish();
  return found;
}

function write(entries: readonly TarEntry[], fill = 0x61): Buffer {
  const pieces: Uint8Array[] = [];
  for (const entry of entries) {
    pieces.push(encodeHeader(entry, true));
    if (entry.kind === "file") pieces.push(Buffer.alloc(entry.sizeBytes, fill), paddingFor(entry.sizeBytes));
  }
  return Buffer.concat([...pieces, endMark]);
}

const varied: readonly TarEntry[] = [
  plain,
  { ...plain, name: "dir/", kind: "directory", mode: 0o1777 },
  { ...plain, name: "n".repeat(300), sizeBytes: 1000, uid: 2 ** 31, gid: 2097152 },
  { ...plain, name: byteString("gr\u00fc\u00dfe/\u{1f6a2}"), mtime: { seconds: -5, nanos: 250_000_000 } },
  { ...plain, name: "\xff\xfe", mode: 0o4755, mtime: { seconds: 2 ** 34, nanos: 1 } },
  { ...plain, name: "l", kind: "symlink", linkName: "t".repeat(500) },
  { ...plain, name: "h", kind: "hardlink", linkName: "dir/x" },
  { ...plain, name: "c", kind: "character", devMajor: 5, devMinor: 1 },
  { ...plain, name: "b", kind: "block", devMajor: 259, devMinor: 70000 },
  { ...plain, name: "p", kind: "fifo" },
  { ...plain, name: "x", xattrs: new Map([["security.capability", Buffer.from([1, 0, 10, 61, 255])]]) },
];

describe("TarReader", () => {
  test.each([1 << 20, 512, 100, 7])("reads back what was written, in pieces of %d bytes", (pieceBytes) => {
    const read = readAll(write(varied), pieceBytes);
    expect(read.map(({ entry }) => ({ ...entry, xattrs: [...entry.xattrs].map(([k, v]) => [k, [...v]]) }))).toEqual(
      varied.map((entry) => ({ ...entry, xattrs: [...entry.xattrs].map(([k, v]) => [k, [...v]]) })),
    );
    expect(read[2]?.data.equals(Buffer.alloc(1000, 0x61))).toBe(true);
  });

  test.each([
    ["an archive cut in a header", (whole: Buffer) => whole.subarray(0, 300)],
    ["an archive cut in data", (whole: Buffer) => whole.subarray(0, 700)],
    ["a wrong checksum", (whole: Buffer) => Buffer.concat([Buffer.from("X"), whole.subarray(1)])],
    ["a header after a zero block", (whole: Buffer) => Buffer.concat([Buffer.alloc(512), whole])],
  ])("refuses %s", (_name, change) => {
    const whole = write([{ ...plain, sizeBytes: 1000 }]);
    expect(() => readAll(change(whole))).toThrow(TarError);
  });

  test("takes an archive without its end mark, and none at all", () => {
    expect(readAll(write([plain]).subarray(0, 512))).toHaveLength(1);
    expect(readAll(new Uint8Array())).toEqual([]);
  });

  test("takes one whose last member lacks its padding, as umoci's insert leaves it", () => {
    const whole = write([{ ...plain, sizeBytes: 1000 }]);
    for (const end of [512 + 1000, 512 + 1001, 1535])
      expect(readAll(whole.subarray(0, end))[0]?.data.length).toBe(1000);
  });

  test.each(["gnu", "oldgnu", "pax", "posix", "ustar", "v7"])("reads GNU tar's format %s", (format) => {
    const folder = mkdtempSync(join(tmpdir(), "lighter-tar-"));
    try {
      const long = format === "ustar" || format === "v7" ? "short" : `${"a".repeat(90)}/${"b".repeat(200)}`;
      const script = `mkdir -p "$(dirname '${long}')" && echo hello > '${long}' && ln -s '${long}' link && truncate -s 3M sparse && printf end | dd of=sparse bs=1 seek=2000000 conv=notrunc status=none && tar --format=${format} ${format === "v7" || format === "ustar" ? "" : "--sparse"} -cf out.tar '${long}' link sparse`;
      const { exitCode, stderr } = Bun.spawnSync(["sh", "-c", script], { cwd: folder });
      expect([exitCode, stderr.toString()]).toEqual([0, ""]);
      const bytes = Bun.spawnSync(["cat", "out.tar"], { cwd: folder }).stdout;
      for (const pieceBytes of [1 << 20, 333]) {
        const [file, link, sparse] = readAll(bytes, pieceBytes);
        expect([file?.entry.name, file?.data.toString()]).toEqual([long, "hello\n"]);
        expect([link?.entry.kind, link?.entry.linkName]).toEqual(["symlink", long]);
        expect([sparse?.entry.name, sparse?.entry.sizeBytes]).toEqual(["sparse", 3 << 20]);
        expect(sparse?.data.subarray(2_000_000, 2_000_003).toString()).toBe("end");
        expect(sparse?.data.indexOf(0x65)).toBe(2_000_000);
      }
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  test("never throws anything but TarError, whatever bytes come", () => {
    const whole = write(varied);
    let seed = 1;
    const random = (bound: number): number => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return seed % bound;
    };
    let refused = 0;
    for (let round = 0; round < 3000; round++) {
      const mutated = Buffer.from(whole);
      for (let change = random(6); change >= 0; change--) mutated[random(mutated.length)] = random(256);
      const cut = mutated.subarray(0, random(4) === 0 ? random(mutated.length) : mutated.length);
      try {
        new TarReader({ entry: () => {}, data: () => {}, end: () => {} }).push(cut);
      } catch (error) {
        expect(error).toBeInstanceOf(TarError);
        refused++;
      }
    }
    expect(refused).toBeGreaterThan(1000);
  });
});

describe("headers", () => {
  test("GNU tar lists what was written", () => {
    const listed = Bun.spawnSync(["tar", "-tf", "-"], {
      stdin: write(varied.filter((one) => !one.name.includes("\xff"))),
    });
    expect(listed.stderr.toString()).toBe("");
    expect(listed.stdout.toString().split("\n").slice(0, 2)).toEqual(["f", "dir/"]);
  });

  const [deep, wide] = [`${"d".repeat(120)}/${"f".repeat(90)}`, `${"d".repeat(156)}/f`];
  // Go's archive/tar: a plain block where the name can be split and nothing else needs more, else three.
  test.each<[string, Partial<TarEntry>, number]>([
    ["a long name that can be split", { name: deep }, 512],
    ["a folder's", { name: `${deep}/`, kind: "directory" }, 512],
    ["one whose folder is too long", { name: wide }, 1536],
    ["one whose last part is too long", { name: `d/${"f".repeat(101)}` }, 1536],
    ["one that is not ASCII", { name: `${deep}\xff` }, 1536],
    ["one of an owner that does not fit", { name: deep, uid: 2 ** 31 }, 1536],
    ["one with an attribute", { name: deep, xattrs: new Map([["user.a", Buffer.from("1")]]) }, 1536],
  ])("%s", (_what, given, bytes) => {
    const entry = { ...plain, ...given };
    const header = encodeHeader(entry);
    expect(header.length).toBe(bytes);
    expect(readAll(Buffer.concat([header, endMark]))[0]?.entry).toMatchObject({ name: entry.name, uid: entry.uid });
  });
});

describe("extended headers", () => {
  test("records count their own length", () => {
    for (const size of [1, 5, 85, 86, 87, 88, 89, 985, 990, 995, 9985]) {
      const record = formatPaxRecord("k", "v".repeat(size));
      expect(Number(record.split(" ")[0])).toBe(record.length);
      expect(parsePax(Buffer.from(record, "latin1"))).toEqual([["k", "v".repeat(size)]]);
    }
  });

  test.each(["", "x", "5 a=b", "99 a=b\n", "6 a=b\n\n", "3 =\n", "10 path=\0b\n", "0 a=b\n"])("refuses %j", (text) => {
    if (text === "") return expect(parsePax(Buffer.alloc(0))).toEqual([]);
    expect(() => parsePax(Buffer.from(text, "latin1"))).toThrow(TarError);
  });

  test("times keep their sign and fraction", () => {
    for (const text of ["0", "1.5", "-1.5", "-0.25", "12345678901.000000001", "-7"]) {
      expect(formatPaxTime(paxTime(text))).toBe(text);
    }
  });
});
