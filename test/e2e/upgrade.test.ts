import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { TaskExitSchema } from "../../src/gen/containerd/events/task_pb.ts";
import { Events } from "../../src/gen/containerd/services/events/v1/events_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import type { Envelope } from "../../src/gen/containerd/types/event_pb.ts";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { FaultError, isFault } from "../../src/lib/faults.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import {
  type ContainerApi,
  connectApi,
  type Daemon,
  daemonNeeds,
  importBusybox,
  type RunResult,
  run,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";
import { connectAgainAndAgain, type Reconnecting } from "../support/reconnecting.ts";

const top = path.resolve(import.meta.dir, "../..");
const needs = [...daemonNeeds(), "ours"] as const;
const workers = 3;

describe("another program in the daemon's place", () => {
  testNeeding(
    needs,
    "refuses no client and loses no exit, while containers are made, exec'd in and end",
    async () => {
      await using scene = await Scene.create();
      const { daemon, client } = scene;
      const api = await connectApi(daemon, () => Promise.resolve(client));
      await using ledger = Ledger.follow(daemon);
      const expected = new Map<string, number>();
      const enough = new AbortController();
      const lives = Array.from({ length: workers }, (_, n) => live(api, `w${n}`, expected, enough.signal));
      for (let round = 0; round < 4; round++) {
        const done = expected.size;
        await Promise.race([
          waitFor("more lives", () => expected.size >= done + 2 * workers, 60_000),
          ...lives.map((one) => one.then(() => Promise.reject(new Error("a worker ended")))),
        ]);
        await scene.upgrade(round % 2 === 0 ? "signal" : "call");
      }
      enough.abort();
      await Promise.all(lives);
      await waitFor("the last exit", () => ledger.exits.length >= expected.size, 30_000);
      expect(Object.fromEntries(ledger.exits)).toEqual(Object.fromEntries(expected));
      // Once each.
      expect(ledger.disorder()).toEqual([]);
      expect(ledger.exits.length).toBe(expected.size);
      expect(client.refusals).toEqual([]);
      expect(client.repeats).toBeGreaterThan(0);
    },
    240_000,
  );

  testNeeding(
    needs,
    "leaves the daemon as it is when it is not fit, and gives the place back when it fails later",
    async () => {
      await using scene = await Scene.create();
      const { daemon, client } = scene;
      const api = await connectApi(daemon, () => Promise.resolve(client));
      await api.create("c1", ["sleep", "1000"]);
      const pid = await api.start("c1");
      await using ledger = Ledger.follow(daemon);
      const before = await scene.state();
      expect(await scene.refusal("/nowhere/lighterd")).toContain('start "/nowhere/lighterd"');
      expect(await scene.refusal("bin/lighterd")).toContain("must be absolute");
      const ended = await scene.script("ended", "exit 7");
      expect(await scene.refusal(ended)).toContain("ended is not fit to take over: it ended with 7");
      const config = path.join(daemon.workspace.folder, "late.toml");
      await fs.writeFile(config, 'version = 3\nroot = "relative"\nnonsense = [[');
      const mistaken = await scene.script("mistaken", `exec "${top}/bin/lighterd" "$@" --config ${config}`);
      expect(await scene.refusal(mistaken)).toContain(`mistaken is not fit to take over: ${config}:3`);
      expect(await scene.state()).toMatchObject({ pid: before.pid, underWay: false });

      // It proves fit, gets the place, and fails then.
      await fs.writeFile(config, 'version = 3\nrequired_plugins = ["io.containerd.server.v1.debug"]\n');
      const failed = await scene.lighter("system", "upgrade", mistaken);
      expect(failed).toMatchObject({ code: 1, stdout: "" });
      expect(failed.stderr).toContain(
        "the other program did not come up: load required plugin io.containerd.server.v1.debug",
      );
      const after = await scene.state();
      expect(after).toMatchObject({ pid: before.pid, underWay: false });
      expect(after.failure).toContain("io.containerd.server.v1.debug");
      expect((await api.tasks.get({ containerId: "c1" })).process?.pid).toBe(pid);
      await api.tasks.kill({ containerId: "c1", signal: 9 });
      await waitFor("the exit", () => ledger.exits.length > 0);
      expect(ledger.exits).toEqual([["c1", 137]]);

      // The next one comes.
      const upgraded = await scene.lighter("system", "upgrade");
      expect(upgraded).toMatchObject({ code: 0, stderr: "" });
      const { pid: next, version } = await scene.state();
      const from = `from ${before.version} (pid ${before.pid})`;
      expect(upgraded.stdout).toBe(`lighterd ${version} (pid ${next}) has taken over ${from}\n`);
      expect(next).not.toBe(before.pid);
      expect(await api.remove("c1")).toBe(137);
      expect(client.refusals).toEqual([]);
    },
    120_000,
  );

  testNeeding(
    needs,
    "comes though the daemon is killed on the way",
    async () => {
      await using scene = await Scene.create();
      const { daemon, client } = scene;
      const before = await scene.state();
      const { pid } = await client.client(System).upgrade({});
      await daemon.kill();
      await waitFor("the other program", async () => (await scene.state()).pid === pid);
      expect(pid).not.toBe(before.pid);
      expect(client.refusals).toEqual([]);
    },
    60_000,
  );
});

/** Containers, one after the other, each with an exec, until told that it is enough. Notes what each must end with. */
async function live(
  api: ContainerApi,
  name: string,
  expected: Map<string, number>,
  enough: AbortSignal,
): Promise<void> {
  for (let n = 0; !enough.aborted; n++) {
    const [id, code] = [`${name}-${n}`, (n % 100) + 1];
    await api.create(id, ["sh", "-c", `trap 'exit ${code}' TERM; touch /ready; while :; do sleep 0.05; done`]);
    await api.start(id);
    const ended = api.wait(id);
    const script = `until [ -e /ready ]; do sleep 0.01; done; exit ${code + 100}`;
    expect(await api.exec(id, `${id}-x`, ["sh", "-c", script])).toBe(code + 100);
    await api.tasks.kill({ containerId: id, signal: 15 });
    expect(await ended).toBe(code);
    expect(await api.remove(id)).toBe(code);
    expected.set(`${id}-x`, code + 100).set(id, code);
  }
}

/** Exits and other events of tasks, as a client hears of them that subscribes again whenever it is cut off. */
class Ledger implements AsyncDisposable {
  readonly #events: Envelope[] = [];
  /** By which subscription each came. */
  readonly #subscriptions = new Map<number, number>();
  readonly #end = new AbortController();
  #reading: Promise<void> = Promise.resolve();

  static follow(daemon: Daemon): Ledger {
    const ledger = new Ledger();
    ledger.#reading = ledger.#read(daemon);
    return ledger;
  }

  /** Processes and how they ended, in the order in which that was told. */
  get exits(): readonly (readonly [string, number])[] {
    return this.#events
      .filter(({ topic }) => topic === "/tasks/exit")
      .map(({ event }) => {
        const { id, exitStatus } = fromBinary(TaskExitSchema, event?.value ?? new Uint8Array());
        return [id, exitStatus] as const;
      });
  }

  /** Events that came twice, or before one that happened earlier in the same container. */
  disorder(): readonly string[] {
    const last = new Map<string, { at: number; what: string }>();
    const seen = new Map<string, number>();
    return this.#events.flatMap(({ topic, event, timestamp }, index) => {
      // The first field of every task event is the container's id.
      const id = firstField(event?.value ?? new Uint8Array());
      const at = Number(timestamp?.seconds) * 1e9 + (timestamp?.nanos ?? 0);
      const what = `${id} ${topic} ${timestamp?.seconds}.${timestamp?.nanos}`;
      const before = last.get(id);
      const [first, subscription] = [seen.get(what), this.#subscriptions.get(index)];
      seen.set(what, subscription ?? 0);
      last.set(id, { at, what });
      const where = `by subscription ${subscription}`;
      if (first !== undefined) return [`${what} ${where}, after it came by ${first}`];
      return before !== undefined && at < before.at ? [`${what} ${where}, after ${before.what}`] : [];
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#end.abort();
    await this.#reading;
  }

  async #read(daemon: Daemon): Promise<void> {
    const { signal } = this.#end;
    for (let subscription = 1; !signal.aborted; subscription++) {
      try {
        await using connection = await connectGrpc({ path: daemon.address });
        const filters = [`topic~="^/tasks/",namespace==${daemon.namespace}`];
        for await (const event of connection.client(Events).subscribe({ filters }, { signal }))
          this.#subscriptions.set(this.#events.push(event) - 1, subscription);
      } catch (error) {
        // Cut off by a daemon that hands over, or by the end of the test.
        if (!signal.aborted && !isFault(error, "unavailable")) throw error;
      }
    }
  }
}

/** A daemon that others take the place of; disposing ends whoever has it then. */
class Scene implements AsyncDisposable {
  readonly daemon: Daemon;
  readonly client: Reconnecting;
  readonly #first: number;

  private constructor(daemon: Daemon) {
    this.daemon = daemon;
    this.#first = daemon.pid;
    this.client = connectAgainAndAgain(daemon.address);
  }

  static async create(): Promise<Scene> {
    const daemon = await startLighter();
    await importBusybox(daemon);
    return new Scene(daemon);
  }

  state() {
    return this.client.client(System).upgradeState({});
  }

  /** Puts this checkout's program in the daemon's place, and waits until it serves. */
  async upgrade(by: "signal" | "call"): Promise<void> {
    const before = await this.state();
    if (by === "signal") process.kill(before.pid, "SIGUSR2");
    else await this.client.client(System).upgrade({});
    const after = await waitFor(
      "another daemon",
      async () => {
        const state = await this.state();
        if (state.failure !== "") throw new Error(state.failure);
        return state.pid !== before.pid && state;
      },
      60_000,
    );
    expect((await this.client.client(Version).version({})).version).toBe(after.version);
  }

  /** What an upgrade to that program is refused with. */
  async refusal(program: string): Promise<string> {
    const error = await this.client
      .client(System)
      .upgrade({ path: program })
      .then(
        () => undefined,
        (caught: unknown) => caught,
      );
    if (!(error instanceof FaultError)) throw new Error(`${program} was taken`, { cause: error });
    return error.message;
  }

  lighter(...args: readonly string[]): Promise<RunResult> {
    return run([path.join(top, "bin/lighter"), "-a", this.daemon.address, ...args]);
  }

  async script(name: string, text: string): Promise<string> {
    const file = path.join(this.daemon.workspace.folder, name);
    await fs.writeFile(file, `#!/bin/sh\n${text}\n`, { mode: 0o755 });
    return file;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid } = await this.state();
    await this.client[Symbol.asyncDispose]();
    if (pid !== this.#first) {
      process.kill(pid, "SIGTERM");
      await waitFor("its end", () => !isAlive(pid), 30_000);
    }
    // The harness knows the first one alone, which has ended, and starts it again to clear away.
    await this.daemon.stop();
    await this.daemon[Symbol.asyncDispose]();
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // Gone.
    return false;
  }
}

/** A short text in the first field. Source: protobuf's encoding: tag, length, bytes. */
function firstField(bytes: Uint8Array): string {
  expect(bytes[0]).toBe(0x0a);
  return new TextDecoder().decode(bytes.subarray(2, 2 + (bytes[1] ?? 0)));
}
