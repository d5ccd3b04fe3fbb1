import { beforeEach, describe, expect, test } from "bun:test";
import { Lookout, type Watched } from "./lookout.ts";

/** A client that calls in a loop, a clock that goes on with each look, and whatever the lookout put off. */
class Bed implements Watched {
  fd: number | undefined = 7;
  idle = true;
  nowMs = 1000;
  /** What the socket answers, look by look; nothing once it is empty. */
  answers: (number | undefined)[] = [];
  looks = 0;
  yields = 0;
  /** How long whoever was let run kept the processor. */
  yieldMs = 0;
  keeps = false;
  readonly given: Buffer[] = [];
  readonly deferred: (() => void)[] = [];
  readonly lookout: Lookout = new Lookout({
    receive: (fd, into) => {
      expect(fd).toBe(7);
      this.looks++;
      this.nowMs += 0.01;
      const count = this.answers.shift();
      into.fill(65, 0, count ?? 0);
      return count;
    },
    yield: () => {
      this.yields++;
      this.nowMs += this.yieldMs;
    },
    now: () => this.nowMs,
    defer: (look) => this.deferred.push(look),
  });

  receive(bytes: Buffer): boolean {
    this.given.push(Buffer.from(bytes));
    this.lookout.answered(this, 1);
    return !this.keeps;
  }

  /** Calls that come by the event loop, each so long after the answer to the one before. */
  calls(count: number, gapMs = 0.05, calls = 1): void {
    for (let n = 0; n < count; n++) {
      this.nowMs += gapMs;
      this.lookout.heard(this);
      this.lookout.answered(this, calls);
      this.deferred.splice(0, this.deferred.length - (n === count - 1 ? 1 : 0));
    }
  }

  /** Runs what was put off, and what that puts off. */
  run(): void {
    for (let look = this.deferred.shift(); look !== undefined; look = this.deferred.shift()) look();
  }
}

describe("Lookout", () => {
  let bed: Bed;
  beforeEach(() => {
    bed = new Bed();
  });

  test("takes the next call of a client that calls in a loop, and lets it run meanwhile", () => {
    bed.calls(8);
    bed.answers = [undefined, undefined, 3, undefined, 2];
    bed.run();
    expect(bed.given.map(String)).toEqual(["AAA", "AA"]);
    expect(bed.yields).toBeGreaterThanOrEqual(3);
  });

  test("does not look for a client that has only begun to call", () => {
    bed.calls(7);
    bed.run();
    expect(bed.looks).toBe(0);
  });

  test("does not look for a client that thinks between its calls", () => {
    bed.calls(40, 0.3);
    bed.run();
    expect(bed.looks).toBe(0);
  });

  test("does not look for a client that has many calls in flight", () => {
    bed.calls(40, 0.05, 16);
    bed.run();
    expect(bed.looks).toBe(0);
  });

  test("does not look when another client was heard meanwhile", () => {
    bed.calls(7);
    bed.lookout.heard({ fd: 8, idle: true, receive: () => true });
    bed.calls(1);
    bed.run();
    expect(bed.looks).toBe(0);
  });

  test("does not look while a call is unanswered, or its connection is closed", () => {
    bed.calls(8);
    bed.idle = false;
    bed.run();
    bed.idle = true;
    bed.calls(1);
    bed.lookout.forget(bed);
    bed.run();
    bed.fd = undefined;
    bed.calls(9);
    bed.run();
    expect(bed.looks).toBe(0);
  });

  test("gives up after a tenth of a millisecond, and for the next calls", () => {
    bed.calls(8);
    bed.run();
    expect(bed.looks).toBeLessThanOrEqual(11);
    const looks = bed.looks;
    bed.calls(31);
    bed.run();
    expect(bed.looks).toBe(looks);
    bed.calls(1);
    bed.run();
    expect(bed.looks).toBeGreaterThan(looks);
  });

  test("gives up for twice as many calls each time, until calls come again", () => {
    const rests: number[] = [];
    for (let miss = 0; miss < 4; miss++) {
      let rest = 0;
      for (const before = bed.looks; bed.looks === before; rest++) {
        bed.calls(1);
        bed.run();
      }
      rests.push(rest);
    }
    expect(rests).toEqual([8, 24 + 8, 48 + 8, 96 + 8]);
    bed.calls(192 + 7);
    while (bed.given.length < 70) {
      bed.answers = Array.from({ length: 90 }, () => 1);
      bed.calls(1);
      bed.run();
    }
    bed.answers = [];
    bed.calls(1);
    bed.run();
    const { looks } = bed;
    bed.calls(24 + 7);
    bed.run();
    expect(bed.looks).toBe(looks);
    bed.calls(1);
    bed.run();
    expect(bed.looks).toBeGreaterThan(looks);
  });

  test("gives up where the processor is wanted by many, though the call came meanwhile", () => {
    bed.calls(8);
    bed.yieldMs = 3;
    bed.answers = [undefined, 5];
    bed.run();
    expect(bed.given).toHaveLength(1);
    const { looks } = bed;
    bed.calls(30);
    bed.run();
    expect(bed.looks).toBe(looks);
  });

  test("goes back to the event loop after half a millisecond, however fast calls come", () => {
    bed.calls(8);
    const from = bed.nowMs;
    bed.answers = Array.from({ length: 1000 }, () => 1);
    bed.run();
    expect(bed.given.length).toBeGreaterThan(20);
    expect(bed.nowMs - from).toBeLessThan(0.6);
    // Which is no miss.
    bed.calls(1);
    bed.run();
    expect(bed.given.length).toBeGreaterThan(60);
  });

  test("leaves the end of the client's side to the event loop", () => {
    bed.calls(8);
    bed.answers = [undefined, 0];
    bed.run();
    expect(bed.given).toEqual([]);
    expect(bed.looks).toBe(2);
  });

  test("lends its memory again only when nobody keeps it", () => {
    bed.calls(8);
    const kept: Buffer[] = [];
    const receive = bed.receive.bind(bed);
    bed.keeps = true;
    bed.receive = (bytes) => {
      kept.push(bytes);
      return receive(bytes);
    };
    bed.answers = [3, 1];
    bed.run();
    kept[1]?.fill(66);
    expect(kept.map(String)).toEqual(["AAA", "B"]);
  });
});
