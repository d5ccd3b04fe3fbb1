import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { daemonSteps } from "../../src/core/tasks/steps.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { messageOf } from "../../src/lib/faults.ts";
import { anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { missing, type RuntimeName, testNeeding } from "../support/index.ts";
import type { Need } from "../support/requirements.ts";
import { CrashingDaemon } from "./crashing-daemon.ts";

const needs: readonly Need[] = ["root", "busybox", "lighterd"];
/** What is told of a call. */
const toldOf: Readonly<Record<string, string>> = {
  create: "create",
  start: "start",
  exec: "exec-added",
  "exec-start": "exec-started",
};
const wholeLife = ["create", "start", "exec-added", "exec-started", "exit 6", "exit 137", "delete"];
const hasCriu = missing(["criu"]) === undefined;

const resources = anyOfJson(ociTypeUrls.linuxResources, { pids: { limit: 100 } });

/** Of these the daemon keeps nothing: whether it dies before or after the answer is the same to it. */
const forwarded: readonly string[] = ["exec", "exec-delete", "pause", "resume", "update", "kill"];
const allSteps = daemonSteps.filter((step) => !forwarded.some((call) => step === `daemon.${call}.answered`));

/** Where runtimes differ in what the daemon finds; the rest is tested with one of them. */
const stepsOfRuntimes = ["daemon.create.sent", "daemon.exec-start.sent", "daemon.delete.answered"] as const;

/** What a call says that was made again after all, by the step at which the daemon died in the first one; "" is success. */
const secondAnswers: Readonly<Record<string, RegExp>> = {
  "daemon.create.bundled": /^$/,
  create: /^task \S+: already exists$/,
  start: /^cannot start a running process$/,
  exec: /^id e: already exists$/,
  "exec-start": /^cannot start a (running|stopped) process$/,
  "exec-delete": /^process does not exist e: not found$/,
  pause: /^cannot pause a paused container$/,
  resume: /^cannot resume a running process$/,
  kill: /^process already finished: not found$|^$/,
  delete: /^task \S+ not found$/,
};

describe.each<RuntimeName>(["runc", "crun"])("a daemon that dies in a call, on %s", (runtime) => {
  const isRunnable = missing([...needs, runtime]) === undefined;
  let crashing: CrashingDaemon;
  beforeAll(async () => {
    if (isRunnable) crashing = await CrashingDaemon.start(runtime, hasCriu);
  });
  afterAll(async () => {
    if (isRunnable) await crashing[Symbol.asyncDispose]();
  }, 30_000);
  const test = (name: string, body: () => Promise<void>, more: readonly Need[] = []): void =>
    testNeeding([...needs, runtime, ...more], name, body, 30_000);

  /** A container's whole life. Answers what each call said when it was made again. */
  async function live(id: string, withCheckpoint: boolean): Promise<{ said: Record<string, string>; codes: number[] }> {
    const said: Record<string, string> = {};
    const execId = "e";
    const call = async (name: string, work: () => Promise<unknown>): Promise<void> => {
      const before = crashing.deaths;
      const answer = await crashing.persist(work);
      if (crashing.deaths > before) said[name] = typeof answer === "string" ? answer : "";
    };
    const wait = (exec: string) => async () =>
      (await crashing.tasks.wait({ containerId: id, execId: exec })).exitStatus;
    await crashing.container(id, "while :; do sleep 1; done");
    await call("create", () => crashing.create(id));
    await call("start", () => crashing.tasks.start({ containerId: id }));
    await call("exec", () => crashing.exec(id, execId, "exit 6"));
    await call("exec-start", () => crashing.tasks.start({ containerId: id, execId }));
    const exec = await crashing.persist(wait(execId));
    await call("exec-delete", () => crashing.tasks.deleteProcess({ containerId: id, execId }));
    await call("pause", () => crashing.tasks.pause({ containerId: id }));
    await call("resume", () => crashing.tasks.resume({ containerId: id }));
    await call("update", () => crashing.tasks.update({ containerId: id, resources }));
    if (withCheckpoint) await call("checkpoint", () => crashing.tasks.checkpoint({ containerId: id }));
    await call("kill", () => crashing.tasks.kill({ containerId: id, signal: 9 }));
    const init = await crashing.persist(wait(""));
    await call("delete", () => crashing.tasks.delete({ containerId: id }));
    await crashing.persist(() => crashing.containers.delete({ id }));
    return { said, codes: [exec, init].map(Number) };
  }

  const steps = runtime === "crun" ? allSteps : stepsOfRuntimes;
  for (const step of steps) {
    const withCheckpoint = step.includes("checkpoint");
    test(
      `after ${step}`,
      async () => {
        const id = step.slice("daemon.".length).replace(".", "-");
        await crashing.arm(step);
        const { said, codes } = await live(id, withCheckpoint);
        expect({ codes, deaths: crashing.deaths, armed: await crashing.isArmed }).toEqual({
          codes: [6, 137],
          deaths: 1,
          armed: false,
        });
        for (const [name, text] of Object.entries(said)) {
          expect({ name, text }).toEqual({
            name,
            text: expect.stringMatching(secondAnswers[step] ?? secondAnswers[name] ?? /^$/),
          });
        }
        const told = await crashing.events(id);
        // In order and once. The daemon that follows may tell of the call before anybody has subscribed to it again.
        const [, call = ""] = step.split(".");
        const heard = wholeLife.filter((event) => told.includes(event) || event !== toldOf[call]);
        expect(told).toEqual(heard);
        expect(await crashing.clean(id)).toEqual([]);
        expect(await crashing.daemon.logs()).not.toContain("a task was lost");
      },
      withCheckpoint ? ["criu"] : [],
    );
  }

  /** A daemon that is killed while the runtime is at work, and back before it is done. */
  async function killedInside(command: string, call: () => Promise<unknown>): Promise<AsyncDisposable> {
    const hold = await crashing.hold(command);
    const cut = call().catch((error: unknown) => error);
    await hold.held();
    await crashing.restart();
    expect(await cut).toMatchObject({ kind: "unavailable" });
    return hold;
  }
  const statusOf = async (id: string): Promise<Status | undefined> =>
    (await crashing.tasks.list({})).tasks.find((task) => task.id === id)?.status;
  const end = async (id: string): Promise<void> => {
    await crashing.tasks.kill({ containerId: id, signal: 9 });
    await crashing.tasks.wait({ containerId: id });
    await crashing.tasks.delete({ containerId: id });
  };

  if (runtime === "crun") {
    test("while the runtime creates: the task is there when it has, and is not made twice", async () => {
      const id = "slow-create";
      await crashing.container(id, "sleep 100");
      const hold = await killedInside("create", () => crashing.create(id));
      expect(await statusOf(id)).toBeUndefined();
      const again = crashing.create(id).catch(messageOf);
      await hold[Symbol.asyncDispose]();
      expect(await again).toBe(`task ${id}: already exists`);
      expect(await statusOf(id)).toBe(Status.CREATED);
      await crashing.tasks.start({ containerId: id });
      await end(id);
      expect(await crashing.events(id)).toEqual(["create", "start", "exit 137", "delete"]);
      expect(await crashing.clean(id)).toEqual([]);
    });

    test("while the runtime creates what can't be: nothing is left, and it can be made again", async () => {
      const id = "slow-failure";
      await crashing.container(id, "sleep 100", { cwd: "/etc/passwd/none" });
      const hold = await killedInside("create", () => crashing.create(id));
      const again = crashing.create(id).catch(messageOf);
      await hold[Symbol.asyncDispose]();
      expect(await again).toContain("OCI runtime create failed");
      expect(await crashing.clean(id)).toEqual([]);
      await crashing.containers.delete({ id });
      await crashing.container(id, "sleep 100");
      await crashing.create(id);
      await crashing.tasks.delete({ containerId: id });
      expect(await crashing.events(id)).toEqual(["create", "exit 137", "delete"]);
    });

    test("while the runtime deletes: the name is free when it has", async () => {
      const id = "slow-delete";
      // Of one that was never started: what has ended goes without the runtime.
      await crashing.container(id, "exit 4");
      await crashing.create(id);
      const hold = await killedInside("delete", () => crashing.tasks.delete({ containerId: id }));
      const again = crashing.create(id);
      await hold[Symbol.asyncDispose]();
      await again;
      await crashing.tasks.delete({ containerId: id });
      const life = ["create", "exit 137", "delete"];
      const lives = [...life, ...life];
      expect(await crashing.events(id, lives.length)).toEqual(lives);
      expect(await crashing.clean(id)).toEqual([]);
    });

    test("while the runtime makes an exec: it runs, and its end is known", async () => {
      const id = "slow-exec";
      await crashing.container(id, "while :; do sleep 1; done");
      await crashing.create(id);
      await crashing.tasks.start({ containerId: id });
      await crashing.exec(id, "e", "exit 8");
      const hold = await killedInside("exec", () => crashing.tasks.start({ containerId: id, execId: "e" }));
      const waiting = crashing.tasks.wait({ containerId: id, execId: "e" });
      await hold[Symbol.asyncDispose]();
      expect((await waiting).exitStatus).toBe(8);
      await end(id);
      expect(await crashing.clean(id)).toEqual([]);
    });

    test("keeps what ended meanwhile for whoever asks after it", async () => {
      const ids = ["gone-1", "gone-2", "gone-3"];
      const file = path.join(crashing.rootfs, "tmp/go");
      for (const id of ids) {
        await crashing.container(id, "while [ ! -e /tmp/go ]; do sleep 0.02; done; exit 9");
        await crashing.create(id);
        await crashing.tasks.start({ containerId: id });
      }
      await crashing.daemon.kill();
      await fs.writeFile(file, "");
      await crashing.restart();
      for (const id of ids) {
        expect((await crashing.tasks.wait({ containerId: id })).exitStatus).toBe(9);
        expect((await crashing.tasks.delete({ containerId: id })).exitStatus).toBe(9);
        expect(await crashing.events(id)).toEqual(["create", "start", "exit 9", "delete"]);
        expect(await crashing.clean(id)).toEqual([]);
      }
    });
  }
});
