import { describe, expect, test } from "bun:test";
import { encodeFrame, type Frame, FrameParser, frameTypes, headerBytes, maxPayloadBytes } from "./frames.ts";

function parseAll(bytes: Uint8Array, cut: () => number): Frame[] {
  const frames: Frame[] = [];
  const parser = new FrameParser((frame) => frames.push({ ...frame, payload: frame.payload.slice() }));
  for (let at = 0; at < bytes.length; ) {
    const take = cut();
    parser.push(bytes.subarray(at, at + take));
    at += take;
  }
  return frames;
}

describe("FrameParser.push", () => {
  test("gives the same frames however the bytes are cut", () => {
    const payloads = [0, 1, 9, 10, 11, 300, 70_000].map((size) => new Uint8Array(size).fill(size % 251));
    const bytes = Buffer.concat(payloads.map((p, i) => encodeFrame(2 * i + 1, frameTypes.data, i % 8, p)));
    for (const cut of [() => 1, () => 7, () => 4096, () => bytes.length, () => 1 + Math.floor(Math.random() * 999)]) {
      const frames = parseAll(bytes, cut);
      expect(frames.map((f) => [f.stream, f.type, f.flags, f.payload.length])).toEqual(
        payloads.map((p, i) => [2 * i + 1, frameTypes.data, i % 8, p.length]),
      );
      expect(frames.every((f, i) => Buffer.compare(f.payload, payloads[i] as Uint8Array) === 0)).toBe(true);
    }
  });

  test("tells of an oversized payload, skips it and goes on with the next frame", () => {
    const long = encodeFrame(1, frameTypes.request, 0, new Uint8Array(maxPayloadBytes + 1));
    const next = encodeFrame(3, frameTypes.request, 0, new Uint8Array([7]));
    const frames = parseAll(Buffer.concat([long, next]), () => 65_536);
    expect(frames.map((f) => [f.stream, f.oversized, f.payload.length])).toEqual([
      [1, true, 0],
      [3, false, 1],
    ]);
    expect(long.length).toBe(headerBytes + maxPayloadBytes + 1);
  });
});
