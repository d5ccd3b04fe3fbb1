import { describe, expect } from "bun:test";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { EnvelopeSchema } from "../../../gen/containerd/types/event_pb.ts";
import { createCtx } from "../../../lib/ctx.ts";
import { Instant } from "../../../lib/instant.ts";
import { createLogger } from "../../../lib/log.ts";
import { SmallDisk, testAsRoot } from "../../../sys/testing.ts";
import { createExchange, type EventHistory, openEventHistory } from "../index.ts";
import type { EventHistoryOptions } from "./event-history.ts";

const limits = { maxEvents: 100_000, maxBytes: 100_000_000, maxAgeMs: 1_000_000_000 };

const everything = { sinceMs: undefined, untilMs: undefined, afterSequence: 0, filters: [], follow: false };

/** A small disk with a history. */
class Disk extends SmallDisk {
  readonly said: string[] = [];
  readonly exchange = createExchange({
    log: createLogger({ level: "fatal", format: "text", write: () => {} }),
  });

  get #ballast(): string {
    return path.join(this.folder, "ballast");
  }

  constructor() {
    super(256 * 1024);
  }

  open(timers?: EventHistoryOptions["timers"]): EventHistory {
    const log = createLogger({ level: "warn", format: "text", write: (line) => this.said.push(line) });
    return openEventHistory({
      folder: path.join(this.folder, "history"),
      limits,
      exchange: this.exchange,
      log,
      timers,
    });
  }

  /** An event of some size, which is written before anything is read. */
  async tell(history: EventHistory, topic: string, sizeBytes = 4000): Promise<void> {
    this.forward(topic, sizeBytes);
    await topicsOf(history).catch(() => undefined);
  }

  forward(topic: string, sizeBytes: number): void {
    const timestamp = Instant.ofMs(Date.now()).toTimestamp();
    const event = create(AnySchema, { typeUrl: "x", value: new Uint8Array(sizeBytes) });
    this.exchange.forward(create(EnvelopeSchema, { timestamp, namespace: "n", topic, event }));
  }

  /** Takes all pages: what is larger than one fits nowhere. */
  fill(): void {
    expect(() => writeFileSync(this.#ballast, new Uint8Array(512 * 1024))).toThrow("ENOSPC");
  }

  empty(): void {
    rmSync(this.#ballast);
  }
}

async function topicsOf(history: EventHistory): Promise<string[]> {
  const topics: string[] = [];
  for await (const { envelope } of history.read(createCtx(), everything)) topics.push(envelope?.topic ?? "");
  return topics;
}

describe("EventHistory", () => {
  testAsRoot("leaves out what a full disk does not take, whole events, and goes on", async () => {
    using disk = new Disk();
    {
      await using history = disk.open();
      await disk.tell(history, "/first");
      expect(await topicsOf(history)).toEqual(["/first"]);
      disk.fill();
      for (let time = 0; time < 20; time++) await disk.tell(history, "/lost", 30_000);
      expect(await topicsOf(history)).toEqual(["/first"]);
      disk.empty();
      await disk.tell(history, "/second");
      expect(await topicsOf(history)).toEqual(["/first", "/second"]);
      // Not a line for each.
      expect(disk.said.filter((line) => line.includes("events are missing")).length).toBe(1);
    }
    const missing = disk.said.flatMap((line) => /missing in the history.* events=(\d+)/.exec(line)?.[1] ?? []);
    expect(missing.map(Number).reduce((sum, count) => sum + count)).toBe(20);
    await using again = disk.open();
    expect(await topicsOf(again)).toEqual(["/first", "/second"]);
  });

  testAsRoot("gives no number twice however long a disk is full, and goes on after it", async () => {
    using disk = new Disk();
    await using history = disk.open();
    await disk.tell(history, "/first");
    const told: number[] = [];
    const following = (async () => {
      for await (const { sequence } of history.read(createCtx(), { ...everything, follow: true }))
        told.push(Number(sequence));
    })();
    while (told.length < 1) await Bun.sleep(1);
    // What came after it began to read, it is told of as a follower.
    disk.forward("/followed", 10);
    while (told.length < 2) await Bun.sleep(1);
    // Who reads has it written.
    expect(await topicsOf(history)).toEqual(["/first", "/followed"]);
    disk.fill();
    // More than there are numbers for.
    for (let n = 0; n < 66_000; n++) {
      disk.forward("/lost", 4100);
      // The follower's turn: it is not to be cut off for being slow.
      if (n % 1000 === 0) await new Promise((resolve) => setImmediate(resolve));
    }
    expect(following).rejects.toThrow("events can't be kept");
    await following.catch(() => undefined);
    disk.empty();
    disk.forward("/second", 10);
    const kept: number[] = [];
    for await (const { sequence } of history.read(createCtx(), everything)) kept.push(Number(sequence));
    expect(kept.length).toBe(3);
    expect(kept[2]).toBeGreaterThan(told.at(-1) ?? Number.POSITIVE_INFINITY);
  });

  testAsRoot("tells no follower of what the next life could not know of", async () => {
    using disk = new Disk();
    {
      await using history = disk.open();
      await disk.tell(history, "/first");
    }
    disk.fill();
    // A follower has its end planned as soon as it follows.
    const followed = Promise.withResolvers<void>();
    const after = (): Disposable => {
      followed.resolve();
      return { [Symbol.dispose]: () => {} };
    };
    await using history = disk.open({ after });
    const told: string[] = [];
    const following = (async () => {
      const query = { ...everything, follow: true, untilMs: Date.now() + 3_600_000 };
      for await (const { envelope } of history.read(createCtx(), query)) told.push(envelope?.topic ?? "");
    })();
    await followed.promise;
    disk.forward("/lost", 4100);
    expect(following).rejects.toThrow("events can't be kept: ENOSPC");
    expect(told).toEqual(["/first"]);
  });

  testAsRoot("reads on a disk that takes nothing, and writes once it does", async () => {
    using disk = new Disk();
    {
      await using history = disk.open();
      await disk.tell(history, "/first");
      expect(await topicsOf(history)).toEqual(["/first"]);
    }
    const [name = ""] = readdirSync(path.join(disk.folder, "history"));
    // As a daemon leaves it that was killed while it wrote.
    const file = path.join(disk.folder, "history", name);
    const torn = path.join(disk.folder, "history", "1.events");
    writeFileSync(torn, Buffer.concat([await Bun.file(file).bytes(), Buffer.from([1, 2, 3])]));
    rmSync(file);
    disk.makeReadOnly(true);
    await using history = disk.open();
    expect(await topicsOf(history)).toEqual(["/first"]);
    for (let time = 0; time < 5; time++) await disk.tell(history, "/lost");
    expect(await topicsOf(history)).toEqual(["/first"]);
    disk.makeReadOnly(false);
    await disk.tell(history, "/second");
    expect(await topicsOf(history)).toEqual(["/first", "/second"]);
    expect(disk.said.filter((line) => line.includes("events are missing")).length).toBe(1);
  });

  testAsRoot("tells a reader why its files can't be read, and tries again", async () => {
    using disk = new Disk();
    const folder = path.join(disk.folder, "history");
    await using history = disk.open();
    rmSync(folder, { recursive: true });
    await disk.tell(history, "/lost");
    expect(topicsOf(history)).rejects.toThrow("the history of events can't be read");
    mkdirSync(folder);
    await disk.tell(history, "/kept");
    expect(await topicsOf(history)).toEqual(["/kept"]);
  });
});
