import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import { busyboxImage, type Daemon, type RuntimeName, sharedDaemon, waitFor } from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];

describe.each(runtimes)("ctr tasks on %s", (runtime) => {
  const shared = sharedDaemon({ runtime });

  /** Starts a container and removes it, task and all, when the scope ends. */
  const start = async (daemon: Daemon, command: readonly string[]): Promise<{ id: string } & AsyncDisposable> => {
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, ...command]);
    return {
      id,
      [Symbol.asyncDispose]: async () => {
        await daemon.ctr(["tasks", "rm", "-f", id]);
        await daemon.ctrOk(["containers", "rm", id]);
      },
    };
  };
  const stateOf = async (daemon: Daemon, id: string): Promise<string | undefined> => {
    const lines = (await daemon.ctrOk(["tasks", "ls"])).split("\n");
    return lines.find((line) => line.startsWith(`${id} `))?.split(/\s+/)[2];
  };
  const exec = (daemon: Daemon, id: string, flags: readonly string[], command: readonly string[], input?: string) =>
    daemon.ctr(
      ["tasks", "exec", "--exec-id", `e-${shared.newId()}`, ...flags, id, ...command],
      input === undefined ? {} : { input },
    );

  shared.test("exec brings output, input and exit code", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const result = await exec(daemon, container.id, [], ["sh", "-c", "cat; echo err >&2; exit 7"], "in\n");
    expect(result).toEqual({ code: 7, stdout: "in\n", stderr: "err\n" });
  });

  shared.test("exec takes a folder and a user", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const flags = ["--cwd", "/tmp", "--user", "sailor"];
    const result = await exec(daemon, container.id, flags, ["sh", "-c", "pwd; id -u; id -un"]);
    expect(result).toEqual({ code: 0, stdout: "/tmp\n1000\nsailor\n", stderr: "" });
  });

  shared.test("exec gives a terminal", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const args = [
      "tasks",
      "exec",
      "-t",
      "--exec-id",
      "shell",
      container.id,
      "sh",
      "-c",
      "tty; read x; echo got $x; exit 4",
    ];
    const session = daemon.ctrInTerminal(args);
    await waitFor("the terminal", () => session.output().includes("/dev/pts/"));
    session.type("rope\n");
    expect(await session.exited).toBe(4);
    expect(session.output()).toContain("got rope");
  });

  shared.test("exec of a missing program says so and leaves the container be", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const result = await exec(daemon, container.id, [], ["/no/such/program"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("/no/such/program");
    expect(await stateOf(daemon, container.id)).toBe("RUNNING");
    expect((await exec(daemon, container.id, [], ["true"])).code).toBe(0);
  });

  shared.test("exec runs eight at once", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const results = await Promise.all(
      Array.from({ length: 8 }, (_, index) =>
        exec(daemon, container.id, [], ["sh", "-c", `echo ${index}; exit ${index}`]),
      ),
    );
    expect(results.map((result) => result.code)).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    expect(results.map((result) => result.stdout.trim())).toEqual(["0", "1", "2", "3", "4", "5", "6", "7"]);
  });

  shared.test("kill sends the signal that was asked for", async (daemon) => {
    await using container = await start(daemon, [
      "sh",
      "-c",
      "trap 'exit 11' USR1; touch /tmp/up; while :; do sleep 0.05; done",
    ]);
    await waitFor("the trap", async () => (await exec(daemon, container.id, [], ["test", "-e", "/tmp/up"])).code === 0);
    await daemon.ctrOk(["tasks", "kill", "-s", "SIGUSR1", container.id]);
    await waitFor("the end", async () => (await stateOf(daemon, container.id)) === "STOPPED");
    expect((await daemon.ctr(["tasks", "rm", container.id])).stderr).toContain("exit code 11");
  });

  shared.test("kill --all reaches every process", async (daemon) => {
    await using container = await start(daemon, ["sh", "-c", "sleep 99 & sleep 99 & wait"]);
    await waitFor("three processes", async () => (await pidsOf(daemon, container.id)).length === 3);
    await daemon.ctrOk(["tasks", "kill", "--all", "-s", "SIGKILL", container.id]);
    await waitFor("the end", async () => (await stateOf(daemon, container.id)) === "STOPPED");
  });

  shared.test("kill reaches one exec by its id", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const running = daemon.ctr(["tasks", "exec", "--exec-id", "victim", container.id, "sleep", "99"]);
    // Its process is seen in the cgroup a moment before its runtime has told of it.
    const kill = ["tasks", "kill", "-s", "SIGKILL", "--exec-id", "victim", container.id];
    await waitFor("the exec to be killed", async () => (await daemon.ctr(kill)).code === 0);
    expect((await running).code).toBe(137);
    expect(await stateOf(daemon, container.id)).toBe("RUNNING");
  });

  shared.test("pause stops all work and resume goes on with it", async (daemon) => {
    await using container = await start(daemon, ["sh", "-c", "while :; do echo x >> /tmp/ticks; sleep 0.02; done"]);
    const pid = await pidOf(daemon, container.id);
    const ticks = async (): Promise<number> => (await fs.stat(`/proc/${pid}/root/tmp/ticks`)).size;
    await waitFor("the first tick", async () => (await ticks()) > 0);
    await daemon.ctrOk(["tasks", "pause", container.id]);
    expect(await stateOf(daemon, container.id)).toBe("PAUSED");
    const before = await ticks();
    await Bun.sleep(150); // seven ticks' time, in which none may come
    expect(await ticks()).toBe(before);
    await daemon.ctrOk(["tasks", "resume", container.id]);
    expect(await stateOf(daemon, container.id)).toBe("RUNNING");
    await waitFor("another tick", async () => (await ticks()) > before);
  });

  shared.test("a paused container dies of SIGKILL once it is resumed", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    await daemon.ctrOk(["tasks", "pause", container.id]);
    await daemon.ctrOk(["tasks", "kill", "-s", "SIGKILL", container.id]);
    await daemon.ctr(["tasks", "resume", container.id]);
    await waitFor("the end", async () => (await stateOf(daemon, container.id)) === "STOPPED");
  });

  shared.test("ps lists the processes, those of execs too", async (daemon) => {
    await using container = await start(daemon, ["sh", "-c", "sleep 99 & wait"]);
    const pids = await waitFor("two processes", async () => {
      const found = await pidsOf(daemon, container.id);
      return found.length === 2 ? found : undefined;
    });
    expect(pids).toContain(await pidOf(daemon, container.id));
  });

  shared.test("metrics show memory, processor time and pids", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const text = await daemon.ctrOk(["tasks", "metrics", container.id]);
    expect(text).toContain(container.id);
    expect(text).toMatch(/memory\.usage_in_bytes\s+\d+/);
    expect(text).toMatch(/cpuacct\.usage\s+[1-9]\d*/);
    const json: unknown = JSON.parse(await daemon.ctrOk(["tasks", "metrics", "--format", "json", container.id]));
    expect(json).toMatchObject({ pids: { current: 1 } });
  });

  shared.test("start runs a created container, and again after its task was removed", async (daemon) => {
    const id = shared.newId();
    await daemon.ctrOk(["containers", "create", busyboxImage, id, "echo", "again"]);
    expect((await daemon.ctr(["tasks", "start", id])).stdout).toBe("again\n");
    await daemon.ctr(["tasks", "rm", id]);
    expect((await daemon.ctr(["tasks", "start", id])).stdout).toBe("again\n");
    await daemon.ctr(["tasks", "rm", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });

  shared.test("rm of a running task needs force", async (daemon) => {
    await using container = await start(daemon, ["sleep", "100"]);
    const refused = await daemon.ctr(["tasks", "rm", container.id]);
    expect(refused.code).not.toBe(0);
    expect(await stateOf(daemon, container.id)).toBe("RUNNING");
    await daemon.ctrOk(["tasks", "rm", "-f", container.id]);
    expect(await stateOf(daemon, container.id)).toBeUndefined();
  });

  shared.test("an exit is seen though nobody waits", async (daemon) => {
    await using container = await start(daemon, ["sh", "-c", "exit 3"]);
    await waitFor("the end", async () => (await stateOf(daemon, container.id)) === "STOPPED");
    expect((await daemon.ctr(["tasks", "rm", container.id])).stderr).toContain("exit code 3");
  });
});

async function pidOf(daemon: Daemon, id: string): Promise<string> {
  const line = (await daemon.ctrOk(["tasks", "ls"])).split("\n").find((text) => text.startsWith(`${id} `));
  return line?.split(/\s+/)[1] ?? "";
}

async function pidsOf(daemon: Daemon, id: string): Promise<readonly string[]> {
  const lines = (await daemon.ctrOk(["tasks", "ps", id])).split("\n").slice(1);
  return lines.flatMap((line) => line.split(/\s+/)[0] || []);
}
