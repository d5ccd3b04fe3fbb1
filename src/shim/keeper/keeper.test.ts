import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createLogger } from "../../lib/log.ts";
import { closeQuietly, createFdWatcher, createKernel, type Fd, type Kernel } from "../../sys/index.ts";
import { Keeper } from "./keeper.ts";
import type { KeptRecord } from "./kept.ts";

const kernel = createKernel();

/** A host's keeper and its successors; a successor is made without an end of the one before, as after SIGKILL. */
class Hosts implements Disposable {
  readonly folder: string = mkdtempSync("/tmp/lighter-keeper-");
  readonly lines: string[] = [];
  readonly #stack = new DisposableStack();
  readonly #log = createLogger({ level: "debug", format: "text", write: (line) => this.lines.push(line) });

  next(own: Partial<Kernel> = {}): Keeper {
    const watcher = this.#stack.use(createFdWatcher({ kernel, onError: (error) => this.lines.push(String(error)) }));
    return this.#stack.use(new Keeper({ kernel: { ...kernel, ...own }, watcher, folder: this.folder, log: this.#log }));
  }

  get keeperPid(): number {
    return JSON.parse(readFileSync(join(this.folder, "keeper.json"), "utf8")).pid;
  }

  [Symbol.dispose](): void {
    const pid = this.keeperPid;
    this.#stack.dispose();
    try {
      process.kill(pid, "SIGKILL");
    } catch {
      // It had ended with the last of them.
    }
    rmSync(this.folder, { recursive: true });
  }
}

const record = (id: string, pid = 1): KeptRecord => ({ namespace: "n", id, execId: "", pid, startTime: 7 });
const none = new Map<string, ReadonlyMap<string, Fd>>();

describe("Keeper", () => {
  let hosts: Hosts;
  beforeEach(() => {
    hosts = new Hosts();
  });
  afterEach(() => hosts[Symbol.dispose]());

  test("hands a pidfd to the next host, which asks it for the exit of a process that is gone", async () => {
    const child = Bun.spawn(["sh", "-c", "read x; exit 7"], { stdin: "pipe" });
    const pidfd = kernel.pidfdOpen(child.pid);
    hosts.next().keep(record("c", child.pid), pidfd, none);
    closeQuietly(kernel, pidfd);
    await child.stdin.write("go\n");
    await child.stdin.end();
    await child.exited;
    const taken = hosts.next().take(record("c", child.pid));
    expect(kernel.pidfdExitStatus(taken?.pidfd as Fd)).toBe(7);
    closeQuietly(kernel, taken?.pidfd as Fd);
  });

  test("takes nothing of another process under the same name", () => {
    const pidfd = kernel.pidfdOpen(process.pid);
    hosts.next().keep(record("c", 5), pidfd, none);
    closeQuietly(kernel, pidfd);
    const next = hosts.next();
    expect(next.take(record("c", 6))).toBeUndefined();
    expect(next.foundRecord(record("c"))).toMatchObject({ pid: 5 });
    next.settle(() => false);
    expect(next.take(record("c", 5))).toBeUndefined();
  });

  test("lets a drawer's descriptors go for every holder, and keeps the others", () => {
    const [read, write] = kernel.pipe(0o4000);
    const streams = new Map([
      ["stdin", new Map([["writer", write]])],
      ["terminal", new Map([["master", read]])],
    ]);
    const first = hosts.next().keep(record("c"), undefined, streams);
    closeQuietly(kernel, write);
    const second = hosts.next().take(record("c"));
    expect([...(second?.kept.copies("terminal").keys() ?? [])]).toEqual(["master"]);
    expect(() => kernel.read(read, new Uint8Array(1))).toThrow("resource temporarily unavailable");
    second?.kept.drop("stdin");
    expect(kernel.read(read, new Uint8Array(1))).toBe(0);
    expect(second?.kept.isEmpty).toBe(false);
    expect(first.copies("stdin").size).toBe(0);
    const third = hosts.next().take(record("c"));
    expect([...(third?.kept.copies("terminal").keys() ?? [])]).toEqual(["master"]);
  });

  test("stays as short as what lives, and loses none of it, while thousands come and go", () => {
    const keeper = hosts.next();
    const pidfd = kernel.pidfdOpen(process.pid);
    const living = Array.from({ length: 20 }, (_, n) => keeper.keep(record(`living${n}`), pidfd, none));
    for (let n = 0; n < 3000; n++) keeper.keep(record(`short${n}`), pidfd, none).letGoOfProcess();
    expect(keeper.length).toBeLessThan(120);
    const next = hosts.next();
    for (const { record: one } of living) expect(next.take(one)).toBeDefined();
    expect(next.length).toBeLessThan(120);
    closeQuietly(kernel, pidfd);
  });

  test("goes on under another process when its own was killed", async () => {
    const keeper = hosts.next();
    const pidfd = kernel.pidfdOpen(process.pid);
    keeper.keep(record("c"), pidfd, none);
    const first = hosts.keeperPid;
    process.kill(first, "SIGKILL");
    while (hosts.keeperPid === first) await Bun.sleep(2);
    const second = hosts.keeperPid;
    keeper[Symbol.dispose]();
    expect(hosts.next().take(record("c"))).toBeDefined();
    expect(hosts.next().take(record("c"))).toBeDefined();
    expect(hosts.keeperPid).toBe(second);
    expect(hosts.lines.filter((line) => line.includes("the keeper is gone"))).toHaveLength(1);
    closeQuietly(kernel, pidfd);
  });

  test("is found by its queue when nobody wrote its number down", () => {
    const pidfd = kernel.pidfdOpen(process.pid);
    hosts.next().keep(record("c"), pidfd, none);
    const path = join(hosts.folder, "keeper.json");
    const { pid, ...rest } = JSON.parse(readFileSync(path, "utf8"));
    writeFileSync(path, JSON.stringify({ ...rest, pid: 0 }));
    expect(hosts.next().take(record("c"))).toBeDefined();
    writeFileSync(path, JSON.stringify({ ...rest, pid }));
    closeQuietly(kernel, pidfd);
  });

  test("says once that it is full, and stores what waited when there is room", () => {
    const keeper = hosts.next({ setSendBuffer: () => 2048 * 40 });
    const pidfd = kernel.pidfdOpen(process.pid);
    const all = Array.from({ length: 60 }, (_, n) => keeper.keep(record(`c${n}`), pidfd, none));
    expect(keeper.length).toBe(40);
    expect(hosts.lines.filter((line) => line.includes("no room to keep more"))).toHaveLength(1);
    for (const kept of all.slice(0, 50)) kept.letGoOfProcess();
    const next = hosts.next();
    for (const kept of all.slice(50)) expect(next.take(kept.record)).toBeDefined();
    closeQuietly(kernel, pidfd);
  });

  test("lives on without a host as long as something is kept, and no longer", () => {
    const keeper = hosts.next();
    const pidfd = kernel.pidfdOpen(process.pid);
    keeper.settle(() => false);
    expect(keeper.length).toBe(0);
    for (const id of ["one", "two"]) {
      const [first, second] = [keeper.keep(record(id), pidfd, none), keeper.keep(record(`${id}'s exec`), pidfd, none)];
      // Both, and the lifeline.
      expect(keeper.length).toBe(3);
      first.letGoOfProcess();
      second.letGoOfProcess();
      expect(keeper.length).toBe(0);
    }
    keeper.keep(record("three"), pidfd, none);
    const next = hosts.next();
    expect(next.length).toBe(2);
    next.settle(() => false);
    expect(next.length).toBe(0);
    closeQuietly(kernel, pidfd);
  });

  test("ends with the last host that has nothing to keep, and outlives one that has", () => {
    const isAlive = (pid: number): boolean => readFileSync(`/proc/${pid}/stat`, "utf8").split(" ")[2] !== "Z";
    const pidfd = kernel.pidfdOpen(process.pid);
    const keeper = hosts.next();
    keeper.keep(record("c"), pidfd, none);
    const pid = hosts.keeperPid;
    keeper[Symbol.dispose]();
    expect(isAlive(pid)).toBe(true);
    const next = hosts.next();
    next.take(record("c"))?.kept.letGoOfProcess();
    next.settle(() => false);
    next[Symbol.dispose]();
    expect(() => hosts.keeperPid).toThrow();
    hosts.next().settle(() => false);
    closeQuietly(kernel, pidfd);
  });
});
