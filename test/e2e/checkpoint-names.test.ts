import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  findProcesses,
  type RunResult,
  type RuntimeName,
  run,
  runInTerminal,
  sharedDaemon,
  waitFor,
} from "../support/index.ts";

const program = path.join(import.meta.dir, "../../bin/lighter");
const runtimes: readonly RuntimeName[] = ["runc", "crun"];
/** Counts in its memory alone, and ends with its count where it is told to. */
const counter = "i=0; trap 'exit 7' TERM; while :; do i=$((i+1)); echo $i; sleep 0.02; done";

describe.each(runtimes)("lighter checkpoint on %s", (runtime) => {
  const shared = sharedDaemon({ runtime, criu: true });
  const test: typeof shared.test = (name, body) => shared.test(name, body, { needs: ["ours"], timeoutMs: 180_000 });

  const environment = (daemon: Daemon): Record<string, string> => ({
    CONTAINERD_ADDRESS: daemon.address,
    CONTAINERD_NAMESPACE: daemon.namespace,
    LIGHTER_DATA: path.join(daemon.workspace.folder, "data"),
    LIGHTER_RUN: path.join(daemon.workspace.folder, "io"),
  });
  const lighter = (daemon: Daemon, ...args: string[]): Promise<RunResult> =>
    run([program, ...args], { env: environment(daemon) });
  const ok = async (daemon: Daemon, ...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await lighter(daemon, ...args);
    if (code !== 0) throw new Error(`lighter ${args.join(" ")}: ${code}: ${stderr}`);
    return stdout;
  };
  const start = async (daemon: Daemon, script = counter): Promise<string> => {
    const id = shared.newId();
    await ok(daemon, "run", "-d", "--runtime", runtime, "--name", id, busyboxImage, "sh", "-c", script);
    return id;
  };
  const numbers = async (daemon: Daemon, id: string): Promise<number[]> =>
    (await ok(daemon, "logs", id)).split("\n").slice(0, -1).map(Number);
  const countsTo = (daemon: Daemon, id: string, least: number): Promise<unknown> =>
    waitFor(`a count of ${least}`, async () => ((await numbers(daemon, id)).at(-1) ?? 0) >= least);

  test("saves a container, which goes on where it was, with its log and its exit code", async (daemon) => {
    const id = await start(daemon);
    await countsTo(daemon, id, 5);
    const saved = await lighter(daemon, "checkpoint", "create", id, "one");
    expect(saved).toMatchObject({ code: 0, stdout: "one\n" });
    expect(saved.stderr).toMatch(new RegExp(`^saving ${id} as one\nsaved .*iB in .* s; ${id} has stopped\n$`));
    expect(await ok(daemon, "wait", id)).toBe("137\n");
    const before = (await numbers(daemon, id)).at(-1) ?? 0;
    expect(await ok(daemon, "start", "--checkpoint", "one", id)).toBe(`${id}\n`);
    await countsTo(daemon, id, before + 5);
    const all = await numbers(daemon, id);
    expect(all).toEqual(all.map((_, at) => at + 1));
    expect(await ok(daemon, "stop", id)).toBe(`${id}\n`);
    expect(await ok(daemon, "wait", id)).toBe("7\n");
    await ok(daemon, "rm", id);
  });

  test("leaves a container running, and brings it back as often as wanted", async (daemon) => {
    const id = await start(daemon);
    await countsTo(daemon, id, 3);
    const flags = ["--leave-running", "--tcp", "--unix", "--shell", "--file-locks", "--empty-ns", "network"];
    const made = JSON.parse(await ok(daemon, "checkpoint", "create", "--json", ...flags, id, "one"));
    expect(made).toMatchObject({ containerId: id, name: "one", exit: false, openTcp: true, terminal: true });
    const saved = (await numbers(daemon, id)).at(-1) ?? 0;
    await countsTo(daemon, id, saved + 5);
    await ok(daemon, "checkpoint", "create", id, "two");
    const table = await ok(daemon, "checkpoint", "ls", id);
    expect(table).toMatch(/one .* left running, terminal, tcp, unix, file locks, empty network\n.*two .* stopped\n/);
    for (const _ of [1, 2]) {
      const lines = (await numbers(daemon, id)).length;
      await ok(daemon, "start", "--checkpoint", "one", id);
      await waitFor("it to go on", async () => (await numbers(daemon, id)).length > lines);
      expect((await numbers(daemon, id))[lines]).toBeLessThanOrEqual(saved + 1);
      await ok(daemon, "kill", id);
      await ok(daemon, "wait", id);
    }
    expect(await ok(daemon, "checkpoint", "rm", id, "one", "two")).toBe("one\ntwo\n");
    expect(JSON.parse(await ok(daemon, "checkpoint", "ls", "--json", id))).toEqual([]);
    await ok(daemon, "rm", id);
  });

  // What the command says of the container's state is the same on both.
  if (runtime === "runc")
    test("says what is wrong and what to do", async (daemon) => {
      const id = await start(daemon);
      const fails = async (words: readonly string[], ...texts: readonly string[]): Promise<void> => {
        const { code, stderr } = await lighter(daemon, ...words);
        expect(code).not.toBe(0);
        for (const text of texts) expect(stderr).toContain(text);
      };
      await ok(daemon, "checkpoint", "create", "--leave-running", id, "one");
      await fails(["checkpoint", "create", id, "one"], `checkpoint "one" of container "${id}": already exists`, "rm");
      await fails(["checkpoint", "create", id, "../x"], "identifier");
      await fails(["checkpoint", "create", "nobody", "one"], 'container "nobody"', "lighter ps -a");
      await fails(["start", "--checkpoint", "one", id], "runs already", "lighter attach");
      await ok(daemon, "kill", id);
      await ok(daemon, "wait", id);
      await fails(["checkpoint", "create", id, "two"], "does not run", `lighter start ${id}`);
      await fails(
        ["start", "--checkpoint", "two", id],
        `checkpoint "two" of container "${id}": not found`,
        "checkpoint ls",
      );
      await fails(["checkpoint", "rm", id, "two"], `checkpoint "two" of container "${id}": not found`, "checkpoint ls");
      // A start that could not be takes nothing away: neither the checkpoint nor the way back.
      await ok(daemon, "start", "--checkpoint", "one", id);
      await ok(daemon, "rm", "-f", id);
      const gone = await ok(daemon, "run", "-d", "--rm", "--runtime", runtime, busyboxImage, "sleep", "1000");
      await fails(["checkpoint", "create", gone.trim(), "one"], "removed with its checkpoints", "--leave-running");
      await ok(daemon, "kill", gone.trim());
    });

  test("attaches a terminal, and standard input, to what it brings back", async (daemon) => {
    const id = shared.newId();
    const asker = "while read line; do echo got-$line; [ $line = end ] && exit 9; done";
    const flags = ["run", "-it", "--runtime", runtime, "--name", id, busyboxImage, "sh", "-c", asker];
    const first = runInTerminal([program, ...flags], { env: environment(daemon) });
    first.type("a\n");
    await waitFor("the first answer", async () => first.output().includes("got-a"));
    await ok(daemon, "checkpoint", "create", id, "one");
    expect(await first.exited).toBe(137);
    const second = runInTerminal([program, "start", "-ai", "--checkpoint", "one", id], { env: environment(daemon) });
    second.type("end\n");
    expect(await second.exited).toBe(9);
    expect(second.output()).toContain("got-end");
    await ok(daemon, "rm", id);
  });

  test("survives the daemon; killed in the middle it leaves no half of one", async (daemon) => {
    const id = await start(daemon);
    await ok(daemon, "checkpoint", "create", "--leave-running", id, "one");
    const pending = lighter(daemon, "checkpoint", "create", "--leave-running", id, "two");
    await waitFor("CRIU at work", () => atWork(daemon));
    await daemon.kill();
    expect((await pending).code).not.toBe(0);
    await daemon.start();
    const names = JSON.parse(await ok(daemon, "checkpoint", "ls", "--json")).map(({ name }: { name: string }) => name);
    expect(names).toEqual(["one"]);
    await waitFor("the leases' end", async () => !(await daemon.ctrOk(["leases", "ls"])).includes("checkpoint"));
    await waitFor("the draft's end", async () => (await filesBelow(draftsOf(daemon))).length === 0);
    await ok(daemon, "kill", id);
    await ok(daemon, "wait", id);
    await ok(daemon, "start", "--checkpoint", "one", id);
    await ok(daemon, "rm", "-f", id);
    await waitFor(
      "its content's end",
      async () => !(await daemon.ctrOk(["content", "ls"])).includes("lighter.checkpoint"),
    );
  });

  const victims = runtime === "runc" ? ["daemon", "host"] : ["daemon", "daemon and host"];
  for (const victim of victims)
    test(`is finished after all, when ${victim} died in it, for a container that is stopped for it`, async (daemon) => {
      const id = await start(daemon);
      await countsTo(daemon, id, 3);
      const pending = lighter(daemon, "checkpoint", "create", id, "one");
      await waitFor("CRIU at work", () => atWork(daemon));
      if (victim.includes("daemon")) await daemon.kill();
      if (victim.includes("host")) await killHost(daemon);
      expect((await pending).code === 0).toBe(victim === "host");
      if (victim.includes("daemon")) await daemon.start();
      await waitFor("the checkpoint", async () => (await ok(daemon, "checkpoint", "ls", id)).includes("one"), 60_000);
      const before = (await numbers(daemon, id)).at(-1) ?? 0;
      await ok(daemon, "start", "--checkpoint", "one", id);
      await countsTo(daemon, id, before + 2);
      expect((await numbers(daemon, id)).filter((each) => each === before + 1)).toHaveLength(1);
      await waitFor("the draft's end", async () => (await filesBelow(draftsOf(daemon))).length === 0);
      await ok(daemon, "rm", "-f", id);
    });
});

const draftsOf = (daemon: Daemon): string => path.join(daemon.root, "io.lighter.checkpoints.v1");

async function killHost(daemon: Daemon): Promise<void> {
  const host = (await findProcesses(daemon.workspace.token)).find((line) => / host --socket /.test(line)) ?? "";
  process.kill(Number.parseInt(host, 10), "SIGKILL");
}

/** True while CRIU writes a checkpoint. */
async function atWork(daemon: Daemon): Promise<boolean> {
  return (await filesBelow(draftsOf(daemon))).some((name) => name.endsWith(".img"));
}

async function filesBelow(folder: string): Promise<string[]> {
  return await fs.readdir(folder, { recursive: true }).catch(() => []);
}
