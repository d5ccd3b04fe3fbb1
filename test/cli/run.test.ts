import { describe, expect } from "bun:test";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  type RunResult,
  run,
  runInTerminal,
  sharedDaemon,
  waitFor,
} from "../support/index.ts";

const program = path.join(import.meta.dir, "../../bin/lighter");

function environment(daemon: Daemon): Record<string, string> {
  return {
    CONTAINERD_ADDRESS: daemon.address,
    CONTAINERD_NAMESPACE: daemon.namespace,
    LIGHTER_DATA: path.join(daemon.workspace.folder, "data"),
    LIGHTER_RUN: path.join(daemon.workspace.folder, "io"),
  };
}

function lighter(daemon: Daemon, args: readonly string[], input?: string): Promise<RunResult> {
  return run([program, ...args], { env: environment(daemon), ...(input === undefined ? {} : { input }) });
}

describe("lighter run", () => {
  const shared = sharedDaemon();

  shared.test("prints the container's output and ends with its code", async (daemon) => {
    const result = await lighter(daemon, ["run", "--rm", busyboxImage, "sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(result).toEqual({ code: 7, stdout: "out\n", stderr: "err\n" });
    expect((await lighter(daemon, ["ps", "-aq"])).stdout).toBe("");
  });

  shared.test("passes standard input on to its end", async (daemon) => {
    const input = "x".repeat(300_000);
    const result = await lighter(daemon, ["run", "--rm", "-i", busyboxImage, "cat"], input);
    expect(result.code).toBe(0);
    expect(result.stdout === input).toBe(true);
  });

  shared.test("loses no output of a container that ends at once", async (daemon) => {
    const result = await lighter(daemon, ["run", "--rm", busyboxImage, "sh", "-c", "head -c 3000000 /dev/zero"]);
    expect(result.stdout.length).toBe(3_000_000);
  });

  shared.test("ends with 125, 126 and 127 as a shell does, and leaves nothing", async (daemon) => {
    expect((await lighter(daemon, ["run", "--rm", "no-such-image"])).code).toBe(125);
    expect((await lighter(daemon, ["run", "--name", "x1", busyboxImage, "no-such-command"])).code).toBe(127);
    expect(await lighter(daemon, ["run", "--name", "x1", busyboxImage, "/etc"])).toMatchObject({ code: 126 });
    expect((await lighter(daemon, ["ps", "-aq"])).stdout).toBe("");
  });

  shared.test("gives a terminal that is one", async (daemon) => {
    const session = runInTerminal([program, "run", "--rm", "-it", busyboxImage, "sh"], { env: environment(daemon) });
    session.type("tty; exit 4\n");
    expect(await session.exited).toBe(4);
    expect(session.output()).toContain("/dev/pts/0");
  });

  shared.test("runs in the background, keeps a log, takes exec, stop, start and rm", async (daemon) => {
    const id = shared.newId();
    const started = await lighter(daemon, [
      "run",
      "-d",
      "--name",
      id,
      busyboxImage,
      "sh",
      "-c",
      "echo one; echo two >&2; sleep 1000",
    ]);
    expect(started).toMatchObject({ code: 0, stdout: `${id}\n` });
    await waitFor("the log", async () => (await lighter(daemon, ["logs", id])).stdout === "one\ntwo\n");
    expect((await lighter(daemon, ["logs", "--tail", "1", id])).stdout).toBe("two\n");
    expect(await lighter(daemon, ["exec", "-e", "A=1", id, "sh", "-c", "echo $A; exit 3"])).toMatchObject({
      code: 3,
      stdout: "1\n",
    });
    expect((await lighter(daemon, ["rm", id])).stderr).toContain("runs");
    expect((await lighter(daemon, ["stop", "-t", "0", id])).code).toBe(0);
    expect((await lighter(daemon, ["wait", id])).stdout).toBe("137\n");
    expect((await lighter(daemon, ["start", id])).code).toBe(0);
    expect((await lighter(daemon, ["rm", "-f", id])).code).toBe(0);
  });
});
