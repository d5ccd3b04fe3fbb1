import { describe, expect, test } from "bun:test";
import { isFault, messageOf } from "../../../lib/faults.ts";
import { createLogger } from "../../../lib/log.ts";
import { until } from "../test-daemon.ts";
import { CallWatch } from "./call-watch.ts";

/** A host that answers when it is told to. */
class SlowHost {
  readonly log: string[] = [];
  pings = 0;
  readonly watch: CallWatch;
  #answer = Promise.withResolvers<void>();

  constructor() {
    const write = (line: string): void => void this.log.push(line);
    this.watch = new CallWatch({
      pid: 4711,
      log: createLogger({ level: "info", format: "text", write }),
      ping: () => {
        this.pings += 1;
        return this.#answer.promise;
      },
      patienceMs: 5,
      answerLimitMs: 10,
    });
  }

  answer(): void {
    this.#answer.resolve();
    this.#answer = Promise.withResolvers();
  }

  die(): void {
    this.#answer.reject(new Error("gone"));
  }

  /** A call that nobody answers; silent from then on. */
  async fallSilent(): Promise<void> {
    this.watch.run(() => new Promise(() => {})).catch(() => {});
    await until(() => this.log.length > 0, "the word of its silence");
  }
}

describe("CallWatch.run", () => {
  test("asks no host that answers", async () => {
    const host = new SlowHost();
    expect(await host.watch.run(() => Promise.resolve(7))).toBe(7);
    expect(host.pings).toBe(0);
  });

  test("lets a call take its time while the host answers", async () => {
    const host = new SlowHost();
    const call = Promise.withResolvers<number>();
    const result = host.watch.run(() => call.promise);
    await until(() => host.pings > 0, "a question");
    host.answer();
    await until(() => host.pings > 1, "another");
    host.answer();
    call.resolve(7);
    expect(await result).toBe(7);
    expect(host.log).toEqual([]);
  });

  test("says once which process is silent and what to do, and when it answers again", async () => {
    const host = new SlowHost();
    await host.fallSilent();
    await host.watch.run(() => Promise.resolve(), 30).catch(() => {});
    expect(host.log).toHaveLength(1);
    expect(host.log[0]).toContain("kill -9 4711: another host takes over");
    host.answer();
    await until(() => host.log.length > 1, "the word of its return");
    expect(host.log[1]).toContain("answers again");
  });

  test("keeps calls back until the host answers, and refuses more than so many", async () => {
    const host = new SlowHost();
    await host.fallSilent();
    let made = 0;
    const call = async (): Promise<void> => void (made += 1);
    const kept = Array.from({ length: 256 }, () => host.watch.run(call));
    const refused = await host.watch.run(call).catch((error: unknown) => error);
    expect(isFault(refused, "unavailable")).toBe(true);
    expect(messageOf(refused)).toMatch(
      /the shim host \(pid 4711\) has not answered for \d+ s and 256 calls wait for it/,
    );
    expect(made).toBe(0);
    host.answer();
    await Promise.all(kept);
    expect(made).toBe(256);
  });

  test("keeps a call back for its own time alone", async () => {
    const host = new SlowHost();
    await host.fallSilent();
    const late = await host.watch.run(() => Promise.resolve(), 20).catch((error: unknown) => error);
    expect(isFault(late, "deadlineExceeded")).toBe(true);
  });

  test("lets calls go to their failure when the host dies", async () => {
    const host = new SlowHost();
    await host.fallSilent();
    const call = host.watch.run(() => Promise.reject(new Error("no connection"))).catch(messageOf);
    host.die();
    expect(await call).toBe("no connection");
  });
});
