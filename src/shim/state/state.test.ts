import { afterAll, describe, expect, test } from "bun:test";
import { appendFileSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { AnySchema } from "@bufbuild/protobuf/wkt";
import { systemClock } from "../../lib/clock.ts";
import { silentLogger } from "../../lib/log.ts";
import { TaskProcess } from "../process/process.ts";
import { loadSandboxes, saveSandbox } from "../sandbox/sandbox-files.ts";
import { EventJournal } from "./event-journal.ts";
import { recordSchema, type TaskRecord } from "./records.ts";
import { StateFiles } from "./state-file.ts";

const folder = mkdtempSync(join(tmpdir(), "lighter-state-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const process = {
  execId: "",
  status: "running",
  pid: 5,
  startTime: 6,
  stdio: { stdin: "", stdout: "", stderr: "", terminal: false },
  exitStatus: 0,
  exitKnown: true,
  exitedAt: "",
  stdinClosed: false,
} as const;
const record = (id: string, pid = 5): TaskRecord => ({
  schema: recordSchema,
  namespace: "n",
  id,
  bundle: "/b",
  phase: "ready",
  runtime: {
    binary: "crun",
    root: "/r",
    systemdCgroup: false,
    noPivotRoot: false,
    noNewKeyring: false,
    ioUid: 0,
    ioGid: 0,
    criuWorkPath: "",
  },
  hasRootfsMounts: true,
  hasPrivatePids: true,
  hasPoststartHooks: false,
  cgroup: undefined,
  checkpoint: "",
  parentCheckpoint: "",
  init: { ...process, pid },
  execs: [],
});

describe("StateFiles", () => {
  test("the last whole line counts, broken files are told and hide no other", () => {
    const path = join(folder, "tasks");
    const files = new StateFiles(path);
    files.save(record("a", 1));
    files.save(record("a", 2));
    files.save(record("b"));
    appendFileSync(join(path, "n/a.jsonl"), '{"schema":1,"torn');
    writeFileSync(join(path, "n/c.jsonl"), "nonsense\n");
    writeFileSync(join(path, "n/d.jsonl"), `${JSON.stringify({ ...record("d"), schema: 99 })}\n`);
    writeFileSync(join(path, "n/x.jsonl.new"), "left over");
    const again = new StateFiles(path);
    const found = new Map(Array.from(again.load(), (one) => [one.id, one]));
    expect(found.get("a")).toMatchObject({ record: { init: { pid: 2 } } });
    expect(found.get("b")).toHaveProperty("record");
    expect(found.get("c")).toHaveProperty("reason");
    expect(found.get("d")).toMatchObject({ reason: "task state: schema 99 is not 1" });
    expect(found.size).toBe(4);
    again.save(record("a", 3));
    expect(Array.from(new StateFiles(path).load()).find((one) => one.id === "a")).toMatchObject({
      record: { init: { pid: 3 } },
    });
    again.remove("n", "a");
    expect(Array.from(new StateFiles(path).load()).length).toBe(3);
  });
});

describe("EventJournal", () => {
  const any = create(AnySchema, { typeUrl: "x", value: new Uint8Array(100) });
  const open = (name: string, capacity?: number) =>
    new EventJournal({ path: join(folder, name), log: silentLogger, ...(capacity === undefined ? {} : { capacity }) });
  const fill = (journal: EventJournal, count: number) => {
    for (let n = 0; n < count; n++) journal.append("n", "/t", any, systemClock());
  };

  test("keeps events over a restart until they are acknowledged, and goes on counting", () => {
    using first = open("one");
    fill(first, 5);
    first.acknowledge(3n);
    using second = open("one");
    expect(second.kept().map((event) => event.sequence)).toEqual([4n, 5n]);
    expect(second.append("n", "/t", any, systemClock())).toBe(6n);
    second.acknowledge(100n);
    using third = open("one");
    expect(third.kept()).toEqual([]);
    expect(third.append("n", "/t", any, systemClock())).toBe(7n);
  });

  test("cuts a torn or damaged tail off", () => {
    using first = open("torn");
    fill(first, 3);
    const path = join(folder, "torn");
    const whole = readFileSync(path);
    for (const cut of [1, 7, 20, 100]) {
      writeFileSync(path, whole.subarray(0, whole.length - cut));
      using again = open("torn");
      expect(again.kept().length).toBe(2);
    }
    const damaged = Buffer.from(whole);
    damaged[whole.length - 3] = (damaged[whole.length - 3] ?? 0) ^ 1;
    writeFileSync(path, damaged);
    using again = open("torn");
    expect(again.kept().length).toBe(2);
    expect(again.append("n", "/t", any, systemClock())).toBe(3n);
  });

  test("stays small when events are acknowledged and bounded when they are not", () => {
    using journal = open("small");
    for (let n = 0; n < 40; n++) {
      fill(journal, 500);
      journal.acknowledge(journal.lastSequence);
    }
    expect(statSync(join(folder, "small")).size).toBeLessThan(2 << 20);
    using bounded = open("bounded", 100);
    fill(bounded, 1000);
    expect(bounded.kept().length).toBeLessThanOrEqual(100);
    expect(bounded.kept().at(-1)?.sequence).toBe(1000n);
  });

  test("gives kept events, then new ones, until the signal", async () => {
    using journal = open("read");
    fill(journal, 2);
    const stop = new AbortController();
    const seen: bigint[] = [];
    const reading = (async () => {
      for await (const event of journal.read(1n, stop.signal)) {
        seen.push(event.sequence);
        if (event.sequence === 4n) stop.abort();
      }
    })();
    await Bun.sleep(1);
    fill(journal, 2);
    await reading;
    expect(seen).toEqual([2n, 3n, 4n]);
  });
});

describe("times on disk", () => {
  test.each(["2026-01-02T03:04:05.678Z", "2026-01-02T03:04:05.678901234Z", ""])("an exit at %p stays", (exitedAt) => {
    expect(TaskProcess.fromRecord({ ...process, exitedAt }).toRecord().exitedAt).toBe(exitedAt);
  });

  test("a sandbox of the version that told milliseconds is read with its times", () => {
    const hostFolder = join(folder, "earlier-sandboxes");
    const base = { schema: 1, namespace: "n", bundle: "/b", hasProcess: false, phase: "stopped" } as const;
    const sandbox = { ...base, id: "new", createdAt: "2026-01-02T03:04:05.678901234Z", stoppedAt: "" } as const;
    saveSandbox(hostFolder, sandbox);
    const earlier = { ...base, id: "old", createdAtMs: 1_767_323_045_678, stoppedAtMs: 0 };
    writeFileSync(join(hostFolder, "sandboxes", "n", "old.json"), JSON.stringify(earlier));
    const wanted = { ...base, id: "old", createdAt: "2026-01-02T03:04:05.678Z", stoppedAt: "" } as const;
    const read = loadSandboxes(hostFolder).map(({ record: found }) => found);
    expect(read).toHaveLength(2);
    expect(read).toContainEqual(sandbox);
    expect(read).toContainEqual(wanted);
  });
});
