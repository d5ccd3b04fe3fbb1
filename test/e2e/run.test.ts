import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  type RuntimeName,
  runInTerminal,
  sharedDaemon,
  waitFor,
  writeBusyboxRootfs,
} from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];

describe.each(runtimes)("ctr run on %s", (runtime) => {
  const shared = sharedDaemon({ runtime });
  const run = (daemon: Daemon, flags: readonly string[], command: readonly string[], input?: string) =>
    daemon.ctr(
      ["run", ...daemon.runtimeFlags, ...flags, busyboxImage, shared.newId(), ...command],
      input === undefined ? {} : { input },
    );

  shared.test("brings stdout and stderr apart and whole", async (daemon) => {
    const result = await run(daemon, ["--rm"], ["sh", "-c", "echo out; echo err >&2"]);
    expect(result).toEqual({ code: 0, stdout: "out\n", stderr: "err\n" });
  });

  shared.test("brings a megabyte without loss", async (daemon) => {
    const result = await run(daemon, ["--rm"], ["sh", "-c", "dd if=/dev/zero bs=1024 count=1024 | tr '\\0' x"]);
    expect(result.stdout.length).toBe(1024 * 1024);
  });

  shared.test("ends with the container's exit code", async (daemon) => {
    expect((await run(daemon, ["--rm"], ["sh", "-c", "exit 42"])).code).toBe(42);
    expect((await run(daemon, ["--rm"], ["sh", "-c", "sh -c 'kill -9 $$'; exit $?"])).code).toBe(137);
  });

  shared.test("passes stdin on, and its end", async (daemon) => {
    const result = await run(daemon, ["--rm"], ["wc", "-c"], "x".repeat(200_000));
    expect(result).toMatchObject({ code: 0, stdout: "200000\n" });
  });

  shared.test("unpacks layers over one another, whiteouts too", async (daemon) => {
    const result = await run(daemon, ["--rm"], ["sh", "-c", "ls /etc; cat /etc/added"]);
    expect(result.stdout).toBe("added\ngreeting\ngroup\npasswd\nahoy from the second layer\n");
  });

  shared.test("takes environment, folder and image defaults", async (daemon) => {
    const flags = ["--rm", "--env", "CARGO=tea", "--cwd", "/tmp"];
    const result = await run(daemon, flags, ["sh", "-c", "echo $CARGO $FLAVOUR; pwd"]);
    expect(result.stdout).toBe("tea barge\n/tmp\n");
  });

  shared.test("mounts a folder of the host", async (daemon) => {
    const folder = path.join(daemon.workspace.folder, `hold-${runtime}`);
    await fs.mkdir(folder);
    const mount = `type=bind,src=${folder},dst=/hold,options=rbind:rw`;
    await run(daemon, ["--rm", "--mount", mount], ["sh", "-c", "echo loaded > /hold/list"]);
    expect(await fs.readFile(path.join(folder, "list"), "utf8")).toBe("loaded\n");
  });

  shared.test("keeps a read-only root from being written", async (daemon) => {
    const result = await run(daemon, ["--rm", "--read-only"], ["sh", "-c", "echo x > /etc/x"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("Read-only file system");
  });

  shared.test("gives a terminal with size, echo and exit code", async (daemon) => {
    // ctr sets the size some time after the start.
    const script = "tty; until stty size | grep '^24 80'; do sleep 0.05; done; read word; echo got $word; exit 5";
    const flags = [...daemon.runtimeFlags, "--rm", "-t"];
    const session = daemon.ctrInTerminal(["run", ...flags, busyboxImage, shared.newId(), "sh", "-c", script]);
    await waitFor("the terminal's size", () => session.output().includes("24 80"));
    session.type("anchor\n");
    expect(await session.exited).toBe(5);
    expect(session.output()).toContain("/dev/pts/0");
    expect(session.output()).toContain("got anchor");
  });

  shared.test("passes a terminal's change of size on", async (daemon) => {
    const script = "trap : WINCH; echo ready; until stty size | grep '^33 111$'; do sleep 0.05; done";
    const flags = [...daemon.runtimeFlags, "--rm", "-t"];
    const session = daemon.ctrInTerminal(["run", ...flags, busyboxImage, shared.newId(), "sh", "-c", script]);
    await waitFor("the container", () => session.output().includes("ready"));
    await waitFor("the new size", () => {
      // Once it has come, the container ends, and soon there is no terminal to resize.
      if (session.output().includes("33 111")) return true;
      // ctr listens for changes only some time after the start, and misses those before.
      session.resize(110, 33);
      session.resize(111, 33);
      return false;
    });
    expect(await session.exited).toBe(0);
  });

  shared.test("leaves a detached container running and writes its pid", async (daemon) => {
    const id = shared.newId();
    const pidFile = path.join(daemon.workspace.folder, `${id}.pid`);
    await daemon.ctrOk(["run", "-d", "--pid-file", pidFile, ...daemon.runtimeFlags, busyboxImage, id, "sleep", "100"]);
    const pid = (await fs.readFile(pidFile, "utf8")).trim();
    expect(await daemon.ctrOk(["tasks", "ls"])).toMatch(new RegExp(`^${id}\\s+${pid}\\s+RUNNING$`, "m"));
    expect(await fs.readFile(`/proc/${pid}/cmdline`, "utf8")).toBe("sleep\x00100\x00");
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });

  shared.test("writes output to a file by its address", async (daemon) => {
    const id = shared.newId();
    const file = path.join(daemon.workspace.folder, "logs", `${id}.log`);
    const flags = [...daemon.runtimeFlags, "-d", "--log-uri", `file://${file}`];
    await daemon.ctrOk(["run", ...flags, busyboxImage, id, "sh", "-c", "echo one; echo two >&2"]);
    await waitFor("both lines", async () => (await fs.readFile(file, "utf8")).split("\n").length === 3);
    await waitFor("the end", async () => (await daemon.ctrOk(["tasks", "ls"])).includes("STOPPED"));
    await daemon.ctrOk(["tasks", "rm", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });

  shared.test("discards output with --null-io", async (daemon) => {
    expect(await run(daemon, ["--rm", "--null-io"], ["echo", "gone"])).toEqual({ code: 0, stdout: "", stderr: "" });
  });

  shared.test("limits memory and processors through the cgroup", async (daemon) => {
    const id = shared.newId();
    const flags = [...daemon.runtimeFlags, "-d", "--memory-limit", "33554432", "--cpus", "0.5"];
    await daemon.ctrOk(["run", ...flags, busyboxImage, id, "sleep", "100"]);
    const cgroup = `${daemon.namespace}/${id}`;
    expect(await readCgroup("memory", cgroup, "memory.limit_in_bytes", "memory.max")).toBe("33554432");
    expect(await readCgroup("cpu", cgroup, "cpu.cfs_quota_us", "cpu.max")).toStartWith("50000");
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });

  shared.test("joins the host's network", async (daemon) => {
    const result = await run(daemon, ["--rm", "--net-host"], ["readlink", "/proc/self/ns/net"]);
    expect(result.stdout.trim()).toBe(await fs.readlink("/proc/self/ns/net"));
  });

  shared.test("runs from a folder without a snapshot", async (daemon) => {
    const folder = path.join(daemon.workspace.folder, `rootfs-${runtime}`);
    await writeBusyboxRootfs(folder);
    const flags = [...daemon.runtimeFlags, "--rm", "--rootfs"];
    const result = await daemon.ctr(["run", ...flags, folder, shared.newId(), "/bin/echo", "afloat"]);
    expect(result).toEqual({ code: 0, stdout: "afloat\n", stderr: "" });
  });

  shared.test("attaches to a running container and ends with its code", async (daemon) => {
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, "sleep", "100"]);
    const session = runInTerminal(["ctr", "-a", daemon.address, "-n", daemon.namespace, "tasks", "attach", id]);
    await daemon.ctrOk(["tasks", "kill", "-s", "SIGKILL", id]);
    expect(await session.exited).toBe(137);
    await daemon.ctr(["tasks", "rm", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });
});

async function readCgroup(controller: string, cgroup: string, v1: string, v2: string): Promise<string> {
  const files = [`/sys/fs/cgroup/${controller}/${cgroup}/${v1}`, `/sys/fs/cgroup/${cgroup}/${v2}`];
  for (const file of files) {
    const text = await fs.readFile(file, "utf8").catch(() => undefined); // the other version's place
    if (text !== undefined) return text.trim();
  }
  throw new Error(`no cgroup ${cgroup} under ${controller}`);
}
