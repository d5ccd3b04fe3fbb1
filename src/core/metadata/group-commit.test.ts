import { Database } from "bun:sqlite";
import { describe, expect, test } from "bun:test";
import { isFault } from "../../lib/faults.ts";
import { silentLogger } from "../../lib/log.ts";
import { GroupCommit } from "./group-commit.ts";
import type { LogCheckpoint, Urgency } from "./log-checkpoint.ts";
import type { WalSync } from "./wal-sync.ts";

interface Disk {
  readonly sync: WalSync;
  /** Syncs that somebody waits for in the pool. */
  readonly pending: { finish(error?: Error): void }[];
  count: number;
  quick: boolean;
  failure: Error | undefined;
}

function fakeDisk(quick: boolean): Disk {
  const disk: Disk = {
    pending: [],
    count: 0,
    quick,
    failure: undefined,
    sync: {
      get quick() {
        return disk.quick;
      },
      now: () => {
        disk.count += 1;
        if (disk.failure !== undefined) throw disk.failure;
      },
      later: () => {
        disk.count += 1;
        const { promise, resolve, reject } = Promise.withResolvers<void>();
        disk.pending.push({ finish: (error) => (error === undefined ? resolve() : reject(error)) });
        return promise;
      },
      [Symbol.dispose]: () => {},
    },
  };
  return disk;
}

/** A log that never has to be emptied. */
const shortLog: LogCheckpoint = { urgency: () => "none", run: async () => {}, [Symbol.dispose]: () => {} };

function commitsOn(
  disk: Disk,
  {
    turnMs = 1000,
    workMs,
    checkpoint = shortLog,
  }: { turnMs?: number; workMs?: number; checkpoint?: LogCheckpoint } = {},
): { commits: GroupCommit; rows: () => number } {
  const db = new Database(":memory:", { strict: true });
  db.run("CREATE TABLE t (id INTEGER)");
  const commits = new GroupCommit({
    db,
    path: "/meta",
    sync: disk.sync,
    checkpoint,
    log: silentLogger,
    turnMs,
    workMs,
  });
  return { commits, rows: () => db.query<{ n: number }, []>("SELECT count(*) AS n FROM t").get()?.n ?? -1 };
}

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function insert(commits: GroupCommit, events: string[], name: string): Promise<void> {
  return commits
    .add(({ db, afterCommit }) => {
      db.query("INSERT INTO t VALUES (1)").run();
      afterCommit(() => events.push(`event ${name}`));
    })
    .then(() => void events.push(`settled ${name}`));
}

describe("GroupCommit", () => {
  test("syncs once for all that arrived in one turn", async () => {
    const disk = fakeDisk(true);
    const { commits } = commitsOn(disk);
    await Promise.all(Array.from({ length: 16 }, (_, index) => insert(commits, [], `${index}`)));
    expect(disk.count).toBe(1);
  });

  test("on a slow disk nothing settles and no event goes out before the sync has ended", async () => {
    const disk = fakeDisk(false);
    const { commits, rows } = commitsOn(disk);
    const events: string[] = [];
    const first = insert(commits, events, "a");
    await turn();
    await turn();
    expect([rows(), events, disk.pending.length]).toEqual([1, [], 1]);
    const second = insert(commits, events, "b");
    const third = insert(commits, events, "c");
    await turn();
    await turn();
    expect([rows(), events, disk.pending.length]).toEqual([3, [], 1]);
    disk.pending[0]?.finish();
    await first;
    expect(events).toEqual(["event a", "settled a"]);
    disk.pending[1]?.finish();
    await Promise.all([second, third]);
    expect(events.slice(2)).toEqual(["event b", "event c", "settled b", "settled c"]);
    expect(disk.count).toBe(2);
  });

  test.each([true, false])("a failed sync fails its mutations and everything after it (quick: %p)", async (quick) => {
    const disk = fakeDisk(quick);
    disk.failure = new Error("EIO: i/o error");
    const { commits } = commitsOn(disk);
    const events: string[] = [];
    const early = Promise.allSettled([insert(commits, events, "a"), insert(commits, events, "b")]);
    await turn();
    await turn();
    for (const pending of disk.pending) pending.finish(disk.failure);
    const late = Promise.allSettled([insert(commits, events, "c")]);
    for (const result of [...(await early), ...(await late)]) {
      expect(result.status).toBe("rejected");
      const { reason } = result as PromiseRejectedResult;
      expect(isFault(reason, "unavailable")).toBe(true);
      expect(reason.message).toBe(
        'sync metadata database "/meta": EIO: i/o error; check the disk and restart the daemon: unavailable',
      );
    }
    expect(events).toEqual([]);
  });

  test("a long batch is cut, so that the loop goes on in between", async () => {
    const { commits, rows } = commitsOn(fakeDisk(true), { turnMs: 0.5 });
    const busy = Array.from({ length: 5 }, () =>
      commits.add(({ db }) => {
        db.query("INSERT INTO t VALUES (1)").run();
        const until = performance.now() + 1;
        while (performance.now() < until);
      }),
    );
    await turn();
    expect(rows()).toBeLessThan(5);
    await Promise.all(busy);
    expect(rows()).toBe(5);
  });

  test("closing waits for the disk", async () => {
    const disk = fakeDisk(false);
    const { commits } = commitsOn(disk);
    const events: string[] = [];
    void insert(commits, events, "a");
    const closing = commits.close().then(() => void events.push("closed"));
    await turn();
    expect(events).toEqual([]);
    disk.pending[0]?.finish();
    await closing;
    expect(events).toEqual(["event a", "settled a", "closed"]);
  });

  test("empties a long log at once: after what is committed is durable, before anything else commits", async () => {
    const disk = fakeDisk(false);
    const emptied = Promise.withResolvers<void>();
    const seen: string[] = [];
    let urgency: Urgency = "now";
    const { commits, rows } = commitsOn(disk, {
      checkpoint: {
        ...shortLog,
        urgency: () => urgency,
        run: () => {
          seen.push(`run, ${rows()} rows, ${disk.pending.length} syncs`);
          urgency = "none";
          return emptied.promise;
        },
      },
    });
    const first = insert(commits, seen, "a");
    await turn();
    await turn();
    expect(seen).toEqual([]);
    const second = insert(commits, seen, "b");
    disk.pending[0]?.finish();
    await first;
    await turn();
    await turn();
    expect(seen).toEqual(["event a", "settled a", "run, 1 rows, 1 syncs"]);
    expect(rows()).toBe(1);
    emptied.resolve();
    while (disk.pending.length < 2) await turn();
    disk.pending[1]?.finish();
    await second;
    expect(rows()).toBe(2);
  });

  test("empties a log that is not that long when nobody wants anything", async () => {
    const ran = Promise.withResolvers<void>();
    const checkpoint = { ...shortLog, urgency: (): Urgency => "quiet", run: async () => ran.resolve() };
    const { commits } = commitsOn(fakeDisk(true), { checkpoint });
    await insert(commits, [], "a");
    await ran.promise;
    await commits.close();
  });

  test("refuses everything once a log could not be emptied", async () => {
    let urgency: Urgency = "now";
    const checkpoint: LogCheckpoint = {
      ...shortLog,
      urgency: () => urgency,
      run: async () => {
        urgency = "none";
        throw new Error("EIO");
      },
    };
    const { commits } = commitsOn(fakeDisk(true), { checkpoint });
    await insert(commits, [], "a");
    await turn();
    expect(insert(commits, [], "b")).rejects.toThrow("check the disk and restart the daemon");
  });

  test("work in the background lets calls that arrive after it go first, and shares no transaction with them", async () => {
    const disk = fakeDisk(true);
    const { commits } = commitsOn(disk);
    const order: string[] = [];
    const note = (name: string, background: boolean): Promise<unknown> =>
      commits.add(() => void order.push(name), { background });
    void note("sweep", true);
    const calls = [note("call", false), note("other call", false)];
    await Promise.all(calls);
    expect(order).toEqual(["call", "other call"]);
    await turn();
    expect(order).toEqual(["call", "other call", "sweep"]);
  });

  test("while a collection commits, the loop waits for no sync: it is the pool's", async () => {
    const disk = fakeDisk(true);
    const { commits } = commitsOn(disk, { workMs: 60_000 });
    await insert(commits, [], "before");
    expect(disk.pending).toEqual([]);
    const work: Promise<unknown>[] = [];
    for (let commit = 0; commit < 4; commit++) {
      work.push(commits.add(({ db }) => db.query("INSERT INTO t VALUES (2)").run(), { background: true }));
      await turn();
    }
    const call = insert(commits, [], "during");
    while (disk.pending.length === 0) await turn();
    for (const sync of disk.pending) sync.finish();
    await Promise.all([call, ...work]);
  });

  test("work in the background goes on though calls never end", async () => {
    const { commits } = commitsOn(fakeDisk(true));
    let swept = false;
    void commits.add(() => void (swept = true), { background: true });
    const start = performance.now();
    while (!swept) {
      if (performance.now() - start > 5000) throw new Error("nothing was swept");
      void commits.add(() => {});
      await turn();
    }
  });
});
