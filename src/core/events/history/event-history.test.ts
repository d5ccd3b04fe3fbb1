import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import os from "node:os";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { TaskExitSchema } from "../../../gen/containerd/events/task_pb.ts";
import { type Envelope, EnvelopeSchema } from "../../../gen/containerd/types/event_pb.ts";
import { createCtx } from "../../../lib/ctx.ts";
import { Instant } from "../../../lib/instant.ts";
import { createLogger, silentLogger } from "../../../lib/log.ts";
import { createTimers } from "../../../lib/timers.ts";
import { anyOf } from "../../../wire/any.ts";
import { createExchange, type EventHistory, type Exchange, openEventHistory } from "../index.ts";
import type { HistoryQuery } from "./event-history.ts";
import type { HistoryLimits } from "./segments.ts";

const everything: HistoryQuery = {
  sinceMs: undefined,
  untilMs: undefined,
  afterSequence: 0,
  filters: [],
  follow: false,
};
const wide: HistoryLimits = { maxEvents: 1000, maxBytes: 1_000_000, maxAgeMs: 1_000_000 };

/** A folder in which one daemon after the other keeps its history. */
class Bed implements AsyncDisposable {
  readonly folder: string = mkdtempSync(path.join(os.tmpdir(), "history-"));
  exchange: Exchange = createExchange({ log: silentLogger });
  nowMs = 1_000_000_000;
  /** What was logged. */
  readonly said: string[] = [];
  /** Daemons that died: only their timers are ended, at the end. */
  readonly killed: EventHistory[] = [];
  history!: EventHistory;

  static open(limits: HistoryLimits = wide): Bed {
    const bed = new Bed();
    bed.begin(limits);
    return bed;
  }

  /** A new daemon, which knows nothing of the one before; that one may never have ended. */
  begin(limits: HistoryLimits = wide): void {
    this.exchange = createExchange({ log: silentLogger });
    const { folder, exchange } = this;
    // No daemon starts within a millisecond.
    this.nowMs += 1;
    const log = createLogger({ level: "warn", format: "text", write: (line) => this.said.push(line) });
    this.history = openEventHistory({ folder, limits, exchange, log, now: () => this.nowMs });
  }

  /** Kills the daemon: nothing of it is closed. */
  kill(limits: HistoryLimits = wide): void {
    this.killed.push(this.history);
    this.begin(limits);
  }

  get files(): readonly string[] {
    return readdirSync(this.folder);
  }

  /** Where the file is that is written to. */
  get newest(): string {
    return path.join(
      this.folder,
      this.files.toSorted((a, b) => Number.parseInt(b, 10) - Number.parseInt(a, 10))[0] ?? "",
    );
  }

  tell(pid: number): void {
    this.exchange.forward(this.exitOf(pid));
  }

  exitOf(pid: number): Envelope {
    const event = anyOf(TaskExitSchema, create(TaskExitSchema, { containerId: "c", id: "c", pid }));
    const timestamp = Instant.ofMs(this.nowMs).toTimestamp();
    return create(EnvelopeSchema, { timestamp, namespace: "n", topic: "/tasks/exit", event });
  }

  /** Lets all go on that waits for nothing but its turn. */
  static turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve));
  }

  /** The pids of what is kept, with their numbers. */
  async read(query: Partial<HistoryQuery> = {}): Promise<{ pids: number[]; sequences: number[] }> {
    const [pids, sequences]: [number[], number[]] = [[], []];
    for await (const { sequence, envelope } of this.history.read(createCtx(), { ...everything, ...query })) {
      pids.push(pidOf(envelope?.event?.value));
      sequences.push(Number(sequence));
    }
    return { pids, sequences };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const history of [this.history, ...this.killed]) await history[Symbol.asyncDispose]();
    rmSync(this.folder, { recursive: true });
  }
}

/** Of an event that has one byte or two of it. */
function pidOf(value: Uint8Array | undefined): number {
  const at = value?.indexOf(0x18) ?? -1;
  const [low = 0, high = 0] = value?.subarray(at + 1) ?? [];
  return low < 128 ? low : low - 128 + 128 * high;
}

const range = (from: number, before: number): number[] => Array.from({ length: before - from }, (_, n) => from + n);

describe("EventHistory", () => {
  test("keeps what happened over a restart, in order, and never gives a number twice", async () => {
    await using bed = Bed.open();
    for (const pid of range(1, 300)) bed.tell(pid);
    const before = await bed.read();
    expect(before).toEqual({ pids: range(1, 300), sequences: range(1, 300) });
    await bed.history[Symbol.asyncDispose]();
    bed.begin();
    for (const pid of range(300, 310)) bed.tell(pid);
    const after = await bed.read();
    expect(after.pids).toEqual(range(1, 310));
    expect(after.sequences[299]).toBeGreaterThan(300 + 65_536);
    expect(after.sequences).toEqual(after.sequences.toSorted((a, b) => a - b));
    expect((await bed.read({ afterSequence: 250 })).pids).toEqual(range(251, 310));
    expect((await bed.read({ afterSequence: after.sequences[305] ?? 0 })).pids).toEqual(range(307, 310));
  });

  test("keeps once what comes again, of the life before", async () => {
    for (const ends of [true, false]) {
      await using bed = Bed.open({ ...wide, maxEvents: 80 });
      for (const pid of range(1, 26)) bed.tell(pid);
      const again = range(20, 30).map((pid) => bed.exitOf(pid));
      expect((await bed.read()).pids).toEqual(range(1, 26));
      if (ends) await bed.history[Symbol.asyncDispose]();
      if (ends) bed.begin({ ...wide, maxEvents: 80 });
      else bed.kill({ ...wide, maxEvents: 80 });
      // What nobody takes is offered again, to each who comes back.
      for (let time = 0; time < 3; time++) for (const envelope of again) bed.exchange.forward(envelope);
      bed.tell(20);
      expect((await bed.read()).pids).toEqual([...range(1, 30), 20]);
    }
  });

  test("writes without being asked, so that a death takes little of it, and together what comes together", async () => {
    await using bed = Bed.open();
    expect((await bed.read()).pids).toEqual([]);
    for (const pid of range(1, 30)) bed.tell(pid);
    expect(bed.files).toEqual([]);
    while (bed.files.length === 0 || statSync(bed.newest).size === 0) await Bun.sleep(1);
    bed.kill();
    expect((await bed.read()).pids).toEqual(range(1, 30));
    // Many do not wait for the time to be over.
    for (const pid of range(1, 129)) bed.tell(pid);
    bed.kill();
    expect((await bed.read()).pids).toEqual([...range(1, 30), ...range(1, 129)]);
  });

  test("looks at no file at a start, and at none of an orderly end later: its name says it all", async () => {
    await using bed = Bed.open();
    for (const pid of range(1, 30)) bed.tell(pid);
    await bed.read();
    appendFileSync(bed.newest, Buffer.from([1, 2, 3]));
    const size = statSync(bed.newest).size;
    bed.kill();
    await Bed.turn();
    expect(statSync(bed.newest).size).toBe(size);
    bed.tell(30);
    expect((await bed.read()).pids).toEqual(range(1, 31));
    for (const pid of range(31, 50)) {
      await bed.history[Symbol.asyncDispose]();
      expect(path.basename(bed.newest)).toMatch(new RegExp(`^1-\\d+-${pid - 1}-\\d+\\.events$`));
      bed.begin();
      bed.tell(pid);
      expect((await bed.read({ afterSequence: 1 })).pids).toEqual(range(2, pid + 1));
      expect(bed.files.length).toBe(1);
    }
  });

  test("cuts off a record that a death left in pieces, and what a failed write left behind others", async () => {
    for (const rest of [
      [1],
      [20, 0, 0, 0, 1, 2, 3, 4, 5],
      [255, 255, 255, 255, 0, 0, 0, 0],
      [2, 0, 0, 0, 0, 0, 0, 0, 1, 2],
      "the first record",
    ]) {
      await using bed = Bed.open();
      bed.tell(1);
      expect((await bed.read()).pids).toEqual([1]);
      const file = bed.newest;
      appendFileSync(file, typeof rest === "string" ? readFileSync(file) : Buffer.from(rest));
      bed.kill();
      bed.tell(2);
      expect((await bed.read()).pids).toEqual([1, 2]);
      expect(bed.said.join("")).toContain("the end of the event history was cut off");
    }
  });

  test("leaves files alone that are none of its own, and keeps what is none of records", async () => {
    await using bed = Bed.open();
    const foreign = ["7", "x.events", "9999999999999999999.events", "0.events"];
    for (const name of foreign) writeFileSync(path.join(bed.folder, name), "something");
    mkdirSync(path.join(bed.folder, "5.events"));
    writeFileSync(path.join(bed.folder, "6.events"), "something");
    bed.tell(1);
    const { pids, sequences } = await bed.read();
    expect(pids).toEqual([1]);
    expect(sequences[0]).toBeGreaterThan(6);
    await bed.history[Symbol.asyncDispose]();
    expect(bed.files).toEqual(expect.arrayContaining([...foreign, "5.events", "unreadable"]));
    expect(readFileSync(path.join(bed.folder, "unreadable"), "utf8")).toBe("something");
    bed.begin();
    expect((await bed.read()).pids).toEqual([1]);
  });

  test("goes on behind a part that can't be read, and says so once", async () => {
    await using bed = Bed.open({ ...wide, maxEvents: 80 });
    await bed.read();
    for (const pid of range(1, 31)) {
      bed.tell(pid);
      await bed.read();
    }
    await bed.history[Symbol.asyncDispose]();
    const [oldest = ""] = bed.files.toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
    const bytes = readFileSync(path.join(bed.folder, oldest));
    bytes.fill(0, bytes.length / 2);
    writeFileSync(path.join(bed.folder, oldest), bytes);
    bed.begin({ ...wide, maxEvents: 80 });
    for (let time = 0; time < 2; time++) {
      const { pids } = await bed.read();
      expect(pids.length).toBeLessThan(30);
      expect(pids).toEqual([...range(1, pids.length - 19), ...range(11, 31)]);
    }
    expect(bed.said.filter((line) => line.includes("can't be read"))).toEqual([expect.stringContaining(oldest)]);
  });

  test.each([
    { name: "events", limits: { ...wide, maxEvents: 80 }, least: 60, most: 80 + 10 },
    { name: "bytes", limits: { ...wide, maxBytes: 4096 }, least: 35, most: 70 },
  ])("keeps the newest within a number of $name", async ({ limits, least, most }) => {
    await using bed = Bed.open(limits);
    for (const pid of range(1, 500)) {
      bed.tell(pid);
      if (pid % 5 === 0) await bed.read({ afterSequence: pid });
    }
    const { pids } = await bed.read();
    expect(pids).toEqual(range(500 - pids.length, 500));
    expect(pids.length).toBeWithin(least, most + 1);
    await bed.history[Symbol.asyncDispose]();
    bed.begin(limits);
    expect((await bed.read()).pids.at(-1)).toBe(499);
  });

  test("forgets what is too old", async () => {
    await using bed = Bed.open({ ...wide, maxAgeMs: 8000 });
    for (const pid of range(1, 21)) {
      bed.tell(pid);
      await bed.read();
      bed.nowMs += 1000;
    }
    const { pids } = await bed.read();
    expect(pids).toEqual(range(21 - pids.length, 21));
    expect(pids.length).toBeWithin(6, 11);
    bed.nowMs += 60_000;
    expect((await bed.read()).pids).toEqual([]);
  });

  test("gives no number again though everything went that had one", async () => {
    await using bed = Bed.open({ ...wide, maxAgeMs: 8000 });
    for (const pid of range(1, 21)) bed.tell(pid);
    const { sequences } = await bed.read();
    // Two lives in which nothing happens.
    for (let life = 0; life < 2; life++) {
      await bed.history[Symbol.asyncDispose]();
      bed.nowMs += 60_000;
      bed.begin({ ...wide, maxAgeMs: 8000 });
      expect((await bed.read()).pids).toEqual([]);
    }
    bed.tell(21);
    const after = await bed.read();
    expect(after.pids).toEqual([21]);
    expect(after.sequences[0]).toBeGreaterThan(sequences.at(-1) ?? Number.POSITIVE_INFINITY);
  });

  test("tells nobody of a number before the disk has taken one of the same life", async () => {
    await using bed = Bed.open();
    const folder = path.join(bed.folder, "followed");
    const attached = Promise.withResolvers<void>();
    const after = (): Disposable => {
      attached.resolve();
      return { [Symbol.dispose]: () => {} };
    };
    const options = { folder, limits: wide, exchange: bed.exchange, log: silentLogger, now: () => bed.nowMs };
    await using history = openEventHistory({ ...options, timers: { after } });
    const events = history.read(createCtx(), { ...everything, follow: true, untilMs: bed.nowMs + 1000 });
    const first = events[Symbol.asyncIterator]().next();
    await attached.promise;
    bed.tell(1);
    // A daemon that is killed here has its next one know of the number.
    expect(readdirSync(folder).map((name) => statSync(path.join(folder, name)).size > 0)).toEqual([true]);
    expect((await first).value?.sequence).toBe(1n);
  });

  test("holds no more bytes than a reader may be behind, and writes at once what is large", async () => {
    await using bed = Bed.open();
    const timestamp = Instant.ofMs(bed.nowMs).toTimestamp();
    const large = (mebibytes: number): Envelope => {
      const event = create(AnySchema, { typeUrl: "x", value: new Uint8Array(mebibytes * 1024 ** 2) });
      return create(EnvelopeSchema, { timestamp, namespace: "n", topic: "/x", event });
    };
    const one = large(15);
    // All of them come before the files were looked at.
    for (let time = 0; time < 5; time++) bed.exchange.forward(one);
    expect(bed.said).toEqual([expect.stringMatching(/missing in the history.* events=1 .*came too fast/)]);
    await bed.read();
    const size = statSync(bed.newest).size;
    bed.exchange.forward(large(1));
    expect(statSync(bed.newest).size).not.toBe(size);
  });

  test("writes behind nothing that can't be read", async () => {
    await using bed = Bed.open();
    for (const pid of range(1, 11)) bed.tell(pid);
    expect((await bed.read()).pids).toEqual(range(1, 11));
    const bytes = readFileSync(bed.newest);
    bytes.fill(0, bytes.length / 2);
    writeFileSync(bed.newest, bytes);
    const { pids } = await bed.read();
    expect(pids).toEqual(range(1, pids.length + 1));
    bed.tell(11);
    expect((await bed.read()).pids).toEqual([...pids, 11]);
  });

  test("tells of what matches, between two moments", async () => {
    await using bed = Bed.open();
    const start = bed.nowMs;
    for (const pid of range(1, 10)) {
      bed.nowMs = start + pid * 10;
      bed.tell(pid);
    }
    expect((await bed.read({ sinceMs: start + 30, untilMs: start + 60 })).pids).toEqual([3, 4, 5]);
    expect((await bed.read({ filters: ["event.pid==7", "event.pid==9"] })).pids).toEqual([7, 9]);
    expect((await bed.read({ filters: ['topic=="/other"'] })).pids).toEqual([]);
    expect(() => bed.history.read(createCtx(), { ...everything, filters: ["topic==/x"] })).toThrow("parse error");
  });

  test("goes on with what happens: nothing twice, nothing left out", async () => {
    await using bed = Bed.open({ ...wide, maxEvents: 100_000 });
    const seen: number[] = [];
    const ending = new AbortController();
    const ctx = createCtx({ signal: ending.signal });
    for (const pid of range(1, 200)) bed.tell(pid);
    const reading = (async () => {
      for await (const { sequence } of bed.history.read(ctx, { ...everything, follow: true })) {
        seen.push(Number(sequence));
        if (seen.length === 1000) ending.abort();
      }
    })();
    for (let told = 199; told < 1000; ) {
      for (let turn = 0; turn < 7 && told < 1000; turn++) bed.tell(++told % 128);
      await new Promise((resolve) => setImmediate(resolve));
    }
    await reading;
    expect(seen).toEqual(range(1, 1001));
  });

  test("ends a follower at its moment also when that is further away than one timer reaches", async () => {
    const waits: number[] = [];
    await using bed = Bed.open();
    const options = { folder: path.join(bed.folder, "far"), limits: wide, exchange: bed.exchange, log: silentLogger };
    const after = (ms: number, action: () => void): Disposable => {
      waits.push(ms);
      return createTimers((run) => setTimeout(run, 0)).after(ms, action);
    };
    const days = 60 * 24 * 3_600_000;
    await using history = openEventHistory({ ...options, now: () => bed.nowMs, timers: { after } });
    const far = { ...everything, follow: true, untilMs: bed.nowMs + days };
    for await (const _event of history.read(createCtx(), far)) throw new Error("nothing has happened");
    expect(waits).toEqual([days]);
  });

  test("ends a follower at its moment, and with the daemon", async () => {
    await using bed = Bed.open();
    bed.tell(1);
    expect((await bed.read({ follow: true, untilMs: bed.nowMs + 20 })).pids).toEqual([1]);
    const reading = bed.read({ follow: true });
    await bed.read();
    await bed.history[Symbol.asyncDispose]();
    expect((await reading).pids).toEqual([1]);
    bed.begin();
  });
});
