import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { ContainerSchema } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { Status } from "../../gen/containerd/v1/types/task_pb.ts";
import { createCtx } from "../../lib/ctx.ts";
import { restartLabels as labels } from "../../lib/restart-labels.ts";
import { box, TestLife, until } from "./testing/life.ts";

const ctx = createCtx({ namespace: "n" });

/** Numbers from a seed, below a bound. Source: mulberry32. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

interface Ends {
  /** How often there was a reason to restart it. */
  count: number;
}

/** What may happen to a container from outside. */
const deeds: readonly ((life: TestLife, ends: Ends, random: (below: number) => number) => Promise<void> | void)[] = [
  function ends(life, ends, random) {
    if (life.tasks.statusOf(box) !== Status.RUNNING) return;
    ends.count += 1;
    life.tasks.exit(box, 1 + random(3));
  },
  function isDeletedByAClient(life, ends) {
    const status = life.tasks.statusOf(box);
    if (status === undefined || status === Status.CREATED) return;
    if (status === Status.RUNNING) {
      ends.count += 1;
      life.tasks.exit(box, 137);
    }
    life.tasks.remove(box);
  },
  function isStartedByAClient(life) {
    const status = life.tasks.statusOf(box);
    if (status === Status.STOPPED) life.tasks.remove(box);
    if (status === undefined || status === Status.STOPPED) life.tasks.run(box);
  },
  async function isWrittenBackAsItWasRead(life, _ends, random) {
    const before = life.labels(box);
    for (let turn = random(5); turn > 0; turn--) await Bun.sleep(1);
    await life.containers.update(ctx, create(ContainerSchema, { id: "a", labels: { ...before } }), ["labels"]);
  },
  async function losesItsDaemon(life) {
    life.forget();
    await life.up();
  },
  async function outlivesItsDaemon(life) {
    await life.down();
    await life.up();
  },
];

describe("whatever happens to a container, and to its daemon", () => {
  test.each(Array.from({ length: 12 }, (_, seed) => seed))("it runs in the end, seed %d", async (seed) => {
    const random = numbers(seed);
    await using life = new TestLife();
    const policy = ["always", "on-failure", "unless-stopped"][seed % 3] ?? "";
    await life.container(box, { [labels.policy]: policy });
    life.tasks.run(box);
    // Shims and disks take their time, and fail.
    life.tasks.before = async (call) => {
      for (let turn = random(4); turn > 0; turn--) await Bun.sleep(1);
      if (!call.startsWith("state") && random(6) === 0) throw new Error(`no ${call}`);
    };
    await life.up();
    const ends: Ends = { count: 0 };
    for (let step = 0; step < 25; step++) {
      const deed = deeds[random(deeds.length)];
      await deed?.(life, ends, random);
      await life.timers.advance(random(3) * random(4_000));
      if (random(2) === 0) await Bun.sleep(random(5));
    }
    life.tasks.before = () => {};
    const isWell = (): boolean => life.tasks.statusOf(box) === Status.RUNNING && life.record(box) === undefined;
    const deadline = performance.now() + 20_000;
    while (!isWell() && performance.now() < deadline) {
      await life.timers.advance(5_000);
      await Bun.sleep(2);
    }
    await until(isWell, `the end of seed ${seed}: ${JSON.stringify(life.labels(box))}`);
    // A client that writes old labels back may take counts away; none comes of nothing.
    expect(Number(life.count(box) ?? 0)).toBeLessThanOrEqual(ends.count + life.tasks.abandonedRunning);
  });
});
