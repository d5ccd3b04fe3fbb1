import { describe, expect } from "bun:test";
import { closeSync, constants, openSync, readSync, writeSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { createKernel } from "../../src/sys/index.ts";
import {
  busyboxImage,
  connectApi,
  type Daemon,
  findProcesses,
  type RuntimeName,
  sharedDaemon,
  type TerminalSession,
  waitFor,
} from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
const endings = ["stop", "kill"] as const;

describe.each(runtimes)("a restart on %s", (runtime) => {
  const shared = sharedDaemon({ runtime });

  const start = async (daemon: Daemon, script: string, flags: readonly string[] = ["--null-io"]): Promise<string> => {
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", ...flags, ...daemon.runtimeFlags, busyboxImage, id, "sh", "-c", script]);
    return id;
  };
  const remove = async (daemon: Daemon, id: string): Promise<void> => {
    await daemon.ctr(["tasks", "rm", "-f", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  };

  for (const ending of endings) {
    const how = ending === "stop" ? "after SIGTERM" : "after SIGKILL";

    shared.test(`finds containers and execs running, with their pids, ${how}`, async (daemon) => {
      const id = await start(daemon, "sleep 100");
      const other = await start(daemon, "sleep 100");
      await daemon.ctrOk(["tasks", "exec", "-d", "--exec-id", "helper", id, "sleep", "99"]);
      await daemon.ctrOk(["tasks", "pause", other]);
      const before = await tasksOf(daemon);
      await daemon[ending]();
      await daemon.start();
      expect(await tasksOf(daemon)).toEqual(before);
      expect(before.get(other)?.status).toBe("PAUSED");
      expect((await daemon.ctr(["tasks", "exec", "--exec-id", "new", id, "echo", "aboard"])).stdout).toBe("aboard\n");
      await daemon.ctrOk(["tasks", "kill", "-s", "SIGKILL", "--exec-id", "helper", id]);
      await daemon.ctrOk(["tasks", "resume", other]);
      await remove(daemon, id);
      await remove(daemon, other);
    });

    shared.test(`reports an exit that came while it was down ${how}`, async (daemon) => {
      const gate = path.join(daemon.workspace.folder, `gate-${ending}`);
      await fs.mkdir(gate);
      const mount = `type=bind,src=${gate},dst=/gate,options=rbind:rw`;
      const script = "while [ ! -e /gate/open ]; do sleep 0.02; done; exit 23";
      const id = await start(daemon, script, ["--null-io", "--mount", mount]);
      const { pid } = (await tasksOf(daemon)).get(id) ?? { pid: 0 };
      await daemon[ending]();
      await fs.writeFile(path.join(gate, "open"), "");
      await waitFor("the container's end", async () => !(await isAlive(pid)));
      await daemon.start();
      await waitFor("the exit", async () => (await tasksOf(daemon)).get(id)?.status === "STOPPED");
      expect((await daemon.ctr(["tasks", "rm", id])).stderr).toContain("exit code 23");
      await daemon.ctrOk(["containers", "rm", id]);
    });

    shared.test(`keeps output flowing while it is down ${how}`, async (daemon) => {
      const file = path.join(daemon.workspace.folder, `${ending}.log`);
      const id = await start(daemon, "while :; do echo tick; sleep 0.02; done", ["--log-uri", `file://${file}`]);
      await waitFor("output", async () => (await fs.stat(file)).size > 0);
      await daemon[ending]();
      const { size } = await fs.stat(file);
      await waitFor("more output", async () => (await fs.stat(file)).size > size);
      await daemon.start();
      await remove(daemon, id);
    });

    shared.test(`keeps a terminal that can be attached again ${how}`, async (daemon) => {
      const id = shared.newId();
      const script = "while read word; do echo got $word; done";
      const session = daemon.ctrInTerminal(["run", "-t", ...daemon.runtimeFlags, busyboxImage, id, "sh", "-c", script]);
      session.type("one\n");
      await waitFor("the echo", () => session.output().includes("got one"));
      // The client goes first and by force: one that sees its daemon go removes the FIFOs on its way out.
      session.kill();
      await session.exited;
      await daemon[ending]();
      await daemon.start();
      await waitForWord(daemon, id, "two");
      await remove(daemon, id);
    });
  }

  shared.test("waits for a container that it did not start itself", async (daemon) => {
    const id = await start(daemon, "trap 'exit 6' TERM; while :; do sleep 0.02; done");
    await daemon.kill();
    await daemon.start();
    const session = daemon.ctrInTerminal(["tasks", "attach", id]);
    await daemon.ctrOk(["tasks", "kill", "-s", "SIGTERM", id]);
    expect(await session.exited).toBe(6);
    await daemon.ctr(["tasks", "rm", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });

  shared.test(
    "of the shim host after SIGKILL loses no container, no output and no exit code",
    async (daemon) => {
      const file = path.join(daemon.workspace.folder, "host.log");
      const script = "trap 'exit 31' TERM; while :; do echo tick; sleep 0.02; done";
      const id = await start(daemon, script, ["--log-uri", `file://${file}`]);
      const other = await start(daemon, "sleep 100");
      const before = await tasksOf(daemon);
      await killShimHosts(daemon);
      const { size } = await fs.stat(file);
      await waitFor("more output", async () => (await fs.stat(file)).size > size);
      await waitFor("both tasks", async () => {
        const now = await tasksOf(daemon);
        return now.get(id)?.status === "RUNNING" && now.get(other)?.status === "RUNNING";
      });
      expect(await tasksOf(daemon)).toEqual(before);
      await daemon.ctrOk(["tasks", "kill", "-s", "SIGTERM", id]);
      await waitFor("the exit", async () => (await tasksOf(daemon)).get(id)?.status === "STOPPED");
      expect((await daemon.ctr(["tasks", "rm", id])).stderr).toContain("exit code 31");
      await daemon.ctrOk(["containers", "rm", id]);
      await remove(daemon, other);
    },
    { needs: ["ours"] },
  );

  shared.test(
    "of daemon and shim host together loses neither what ends meanwhile nor what goes on, with its streams",
    async (daemon) => {
      const [ended, living] = [shared.newId(), shared.newId()];
      using stdin = openFifo(path.join(daemon.workspace.folder, "ended.in"));
      using input = openFifo(path.join(daemon.workspace.folder, "living.in"));
      using output = openFifo(path.join(daemon.workspace.folder, "living.out"));
      await using first = await connectApi(daemon);
      await first.create(ended, ["sh", "-c", "read word; exit 33"]);
      await first.create(living, ["sh", "-c", "while read word; do echo got $word; [ $word != end ] || exit 32; done"]);
      const endedPid = await first.start(ended, { stdin: stdin.path });
      const livingPid = await first.start(living, { stdin: input.path, stdout: output.path });
      input.write("one\n");
      await waitFor("the first word", () => output.read() === "got one\n");

      await daemon.kill();
      await killShimHosts(daemon);
      input.write("two\n");
      await waitFor("the second word, of a container without anybody", () => output.read() === "got two\n");
      stdin.write("now\n");
      await waitFor("the container's end", async () => !(await isAlive(endedPid)));
      await daemon.start();

      expect(await tasksOf(daemon)).toEqual(
        new Map([
          [ended, { pid: endedPid, status: "STOPPED" }],
          [living, { pid: livingPid, status: "RUNNING" }],
        ]),
      );
      await using api = await first.reconnect();
      expect(await api.wait(ended)).toBe(33);
      expect(await api.remove(ended)).toBe(33);
      const wait = api.wait(living);
      input.write("end\n");
      await waitFor("the last word", () => output.read() === "got end\n");
      expect(await wait).toBe(32);
      expect(await api.remove(living)).toBe(32);
    },
    { needs: ["ours"] },
  );
});

interface SeenTask {
  readonly pid: number;
  readonly status: string;
}

async function tasksOf(daemon: Daemon): Promise<ReadonlyMap<string, SeenTask>> {
  const lines = (await daemon.ctrOk(["tasks", "ls"])).split("\n").slice(1).filter(Boolean);
  return new Map(
    lines.map((line) => {
      const [id = "", pid = "", status = ""] = line.split(/\s+/);
      return [id, { pid: Number(pid), status }];
    }),
  );
}

async function isAlive(pid: number): Promise<boolean> {
  const status = await fs.readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""); // gone
  return status !== "" && !/\) Z /.test(status);
}

interface Fifo extends Disposable {
  readonly path: string;
  write(text: string): void;
  /** What lies in it now. */
  read(): string;
}

/** A FIFO of which both ends stay open, so that nobody's end is the other's. */
function openFifo(name: string): Fifo {
  createKernel().mkfifo(name, 0o600);
  const fd = openSync(name, constants.O_RDWR | constants.O_NONBLOCK);
  return {
    path: name,
    write: (text) => void writeSync(fd, text),
    read: () => {
      const buffer = Buffer.alloc(4096);
      try {
        return buffer.toString("utf8", 0, readSync(fd, buffer));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "EAGAIN") return "";
        throw error;
      }
    },
    [Symbol.dispose]: () => closeSync(fd),
  };
}

async function killShimHosts(daemon: Daemon): Promise<void> {
  const hosts = (await findProcesses(daemon.workspace.token)).filter((line) => / host --socket /.test(line));
  expect(hosts.length).toBeGreaterThan(0);
  for (const host of hosts) process.kill(Number.parseInt(host, 10), "SIGKILL");
}

/** Attaches to a terminal and has its shell echo a word; what is typed before the client is ready may be lost. */
async function waitForWord(daemon: Daemon, id: string, word: string): Promise<void> {
  const session: TerminalSession = daemon.ctrInTerminal(["tasks", "attach", id]);
  try {
    await waitFor("the echo", async () => {
      session.type(`${word}\n`);
      await Bun.sleep(100); // a pace for typing
      return session.output().includes(`got ${word}`);
    });
  } finally {
    session.kill();
  }
}
