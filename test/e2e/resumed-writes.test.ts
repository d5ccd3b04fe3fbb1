import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import {
  Content,
  WriteAction,
  WriteContentRequestSchema,
  type WriteContentResponse,
} from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { type Daemon, startLighter, testNeeding, waitFor } from "../support/index.ts";

const mebibyte = 1 << 20;
const needs = ["ours", "root", "lighterd", "ctr", "libcrypto"] as const;

/** Bytes that differ from place to place. */
function piece(index: number): Uint8Array {
  const bytes = new Uint8Array(mebibyte).fill(index);
  new DataView(bytes.buffer).setUint32(0, index * 7919);
  return bytes;
}

function digestOfPieces(count: number): string {
  const hasher = new Bun.CryptoHasher("sha256");
  for (let index = 0; index < count; index++) hasher.update(piece(index));
  return `sha256:${hasher.digest("hex")}`;
}

/** How many bytes a process has read, whatever from. */
async function bytesRead(pid: number): Promise<number> {
  return Number(/^rchar: (\d+)$/m.exec(await fs.readFile(`/proc/${pid}/io`, "utf8"))?.[1]);
}

/** Sends one message after another, each after the answer to the one before; answers with the last answer. */
async function write(
  daemon: Daemon,
  total: number,
  messages: readonly { readonly action: WriteAction; readonly index?: number; readonly expected?: string }[],
): Promise<WriteContentResponse> {
  await using connection = await connectGrpc({ path: daemon.address });
  let answered = Promise.withResolvers<void>();
  async function* requests() {
    for (const { action, index, expected = "" } of messages) {
      const data = action === WriteAction.WRITE ? piece(index ?? 0) : new Uint8Array(0);
      const offset = BigInt((index ?? 0) * mebibyte);
      answered = Promise.withResolvers();
      yield create(WriteContentRequestSchema, {
        action,
        ref: "large",
        total: BigInt(total * mebibyte),
        offset,
        data,
        expected,
      });
      await answered.promise;
    }
  }
  let last: WriteContentResponse | undefined;
  const call = { namespace: daemon.namespace };
  for await (const answer of connection.client(Content, call).write(requests())) {
    last = answer;
    answered.resolve();
  }
  if (last === undefined) throw new Error("no answer");
  return last;
}

/** How much of the one unfinished write has come to its file. */
async function sizeOfData(daemon: Daemon): Promise<number> {
  const ingests = path.join(daemon.root, "io.containerd.content.v1.content/ingest");
  const [name = ""] = await fs.readdir(ingests);
  return (await fs.stat(path.join(ingests, name, "data")).catch(() => ({ size: 0 }))).size;
}

/** Sends what is missing of a piece that was cut. */
async function finishPiece(daemon: Daemon, total: number, offset: number): Promise<void> {
  await using connection = await connectGrpc({ path: daemon.address });
  async function* requests() {
    const data = piece(Math.floor(offset / mebibyte)).subarray(offset % mebibyte);
    const head = { action: WriteAction.WRITE, ref: "large", total: BigInt(total * mebibyte) };
    yield create(WriteContentRequestSchema, { ...head, offset: BigInt(offset), data });
  }
  for await (const _ of connection.client(Content, { namespace: daemon.namespace }).write(requests())) continue;
}

const pieces = (from: number, to: number) =>
  Array.from({ length: to - from }, (_, n) => ({ action: WriteAction.WRITE, index: from + n }));

describe("a large write that a killed daemon left", () => {
  testNeeding(needs, "is gone on with, and little of it is read again", async () => {
    await using daemon = await startLighter();
    await write(daemon, 96, pieces(0, 88));
    await daemon.kill();
    await daemon.start();
    const before = await bytesRead(daemon.pid);
    const { digest, offset } = await write(daemon, 96, [{ action: WriteAction.STAT }]);
    expect([digest, offset]).toEqual([digestOfPieces(88), BigInt(88 * mebibyte)]);
    expect((await bytesRead(daemon.pid)) - before).toBeLessThan(44 * mebibyte);
    const expected = digestOfPieces(96);
    const committed = await write(daemon, 96, [...pieces(88, 96), { action: WriteAction.COMMIT, index: 96, expected }]);
    expect(committed.digest).toBe(expected);
  });

  testNeeding(needs, "and that was changed meanwhile fails at its commit", async () => {
    await using daemon = await startLighter();
    await write(daemon, 40, pieces(0, 40));
    await daemon.kill();
    const ingests = path.join(daemon.root, "io.containerd.content.v1.content/ingest");
    const [name = ""] = await fs.readdir(ingests);
    const data = path.join(ingests, name, "data");
    const grown = (await fs.stat(data)).ctimeMs;
    // What a writer's last bytes and another's change have in common is their time, for a moment.
    await waitFor("a later time", async () => Date.now() - grown > 5500, 20_000);
    await using file = await fs.open(data, "r+");
    await file.write(Buffer.from("changed"), 0, 7, 3);
    await daemon.start();
    const expected = digestOfPieces(40);
    const { digest } = await write(daemon, 40, [{ action: WriteAction.STAT }]);
    expect(digest).not.toBe(expected);
    const commit = write(daemon, 40, [{ action: WriteAction.COMMIT, index: 40, expected }]);
    expect(await commit.then(String, String)).toContain("unexpected commit digest");
  });

  testNeeding(
    needs,
    "and that is killed again and again in the middle of a message ends with the right bytes",
    async () => {
      await using daemon = await startLighter();
      const total = 128;
      let at = 0;
      for (let kill = 0; kill < 5; kill++) {
        const until = Math.min(total - 4, at + 20);
        // Not answered in full when the daemon dies: what came of the last messages is for the next one to find out.
        const writing = write(daemon, total, pieces(at, total)).catch(() => {});
        await waitFor("some of it to be written", async () => (await sizeOfData(daemon)) > until * mebibyte - 300_000);
        await daemon.kill();
        await writing;
        await daemon.start();
        const { offset } = await write(daemon, total, [{ action: WriteAction.STAT }]);
        // Whole messages are sent again from where one was cut.
        at = Math.floor(Number(offset) / mebibyte);
        if (Number(offset) % mebibyte !== 0) await finishPiece(daemon, total, Number(offset));
        if (Number(offset) % mebibyte !== 0) at += 1;
      }
      const expected = digestOfPieces(total);
      await write(daemon, total, [...pieces(at, total), { action: WriteAction.COMMIT, index: total, expected }]);
      const blob = path.join(daemon.root, "io.containerd.content.v1.content/blobs", expected.replace(":", "/"));
      const found = new Bun.CryptoHasher("sha256").update(await fs.readFile(blob)).digest("hex");
      expect(`sha256:${found}`).toBe(expected);
    },
    90_000,
  );
});
