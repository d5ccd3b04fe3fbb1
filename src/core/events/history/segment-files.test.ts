import { describe, expect, spyOn, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import fs from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { EnvelopeSchema } from "../../../gen/containerd/types/event_pb.ts";
import { encodeEvent, recordsOf } from "./record.ts";
import { closedName, type Segment, walk } from "./segment-files.ts";

const pieceBytes = 4096;

const eventOf = (sequence: number, sizeBytes: number): Uint8Array =>
  encodeEvent(sequence, create(EnvelopeSchema, { event: { typeUrl: "x", value: new Uint8Array(sizeBytes) } }));

function segmentAt(file: string, sizeBytes: number): Segment {
  const times = { oldestMs: 0, newestMs: 0 };
  return { path: file, first: 1, last: 0, count: 0, bytes: sizeBytes, ...times, sealed: false, isBroken: false };
}

async function sequencesOf(segment: Segment): Promise<number[]> {
  const walked: number[] = [];
  for await (const { sequence } of walk(segment, pieceBytes)) walked.push(sequence);
  return walked;
}

describe("walk", () => {
  test("goes on in pieces behind a record that is longer than one", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "segments-"));
    using stack = new DisposableStack();
    stack.defer(() => rmSync(folder, { recursive: true }));
    const large = eventOf(3, 10 * pieceBytes);
    const events = [
      eventOf(1, 10),
      eventOf(2, 10),
      large,
      ...Array.from({ length: 900 }, (_, n) => eventOf(n + 4, 50)),
    ];
    const bytes = recordsOf(events);
    const file = path.join(folder, "1.events");
    writeFileSync(file, bytes);

    const asked: number[] = [];
    const open = fs.open;
    const spy = spyOn(fs, "open").mockImplementation(async (...words) => {
      const handle = await open(...words);
      const read = handle.read.bind(handle) as (...parts: unknown[]) => Promise<{ bytesRead: number; buffer: Buffer }>;
      const noting = (...parts: unknown[]): ReturnType<typeof read> => {
        asked.push(parts[2] as number);
        return read(...parts);
      };
      return Object.assign(handle, { read: noting });
    });
    stack.defer(() => spy.mockRestore());
    expect(await sequencesOf(segmentAt(file, bytes.length))).toEqual(events.map((_, n) => n + 1));
    // What is left of the long one, and no more than a piece besides.
    expect(asked.filter((length) => length > pieceBytes)).toEqual([expect.any(Number)]);
    expect(Math.max(...asked)).toBeLessThanOrEqual(large.length + 8);
  });

  // The kernel has renamed it, and who asked for that has not heard yet.
  test("finds one that has got its other name and is still noted under the first", async () => {
    const folder = mkdtempSync(path.join(tmpdir(), "segments-"));
    using stack = new DisposableStack();
    stack.defer(() => rmSync(folder, { recursive: true }));
    const bytes = recordsOf([eventOf(1, 10), eventOf(2, 10)]);
    const noted = segmentAt(path.join(folder, "1.events"), bytes.length);
    const segment = { ...noted, last: 2, count: 2, sealed: true };
    writeFileSync(path.join(folder, closedName(segment)), bytes);
    expect(await sequencesOf(segment)).toEqual([1, 2]);
    rmSync(path.join(folder, closedName(segment)));
    expect(sequencesOf(segment)).rejects.toThrow("ENOENT");
  });
});
