import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import {
  type Daemon,
  type Dockerd,
  missing,
  runOk,
  sharedDaemon,
  startDockerd,
  waitFor,
  writeBusyboxRootfs,
} from "../support/index.ts";

const shared = sharedDaemon({ criu: true });
const needs = ["ours", "dockerd"] as const;
const image = "harbour/busybox:1";

let dockerd: Dockerd | undefined;
/** Started by the first test, since the daemon is there only then. */
async function dockerOn(daemon: Daemon): Promise<Dockerd> {
  if (dockerd !== undefined) return dockerd;
  dockerd = await startDockerd(daemon);
  const rootfs = await writeBusyboxRootfs(path.join(dockerd.folder, "rootfs"));
  const tar = path.join(dockerd.folder, "rootfs.tar");
  await runOk(["tar", "-C", rootfs, "-cf", tar, "."]);
  await dockerd.dockerOk(["import", "--change", "ENV PATH=/bin", tar, image]);
  return dockerd;
}

const counting = 'i=0; while :; do echo "line $i"; i=$((i+1)); sleep 0.1; done';

describe("dockerd", () => {
  if (missing(needs) === undefined) {
    beforeAll(() => {
      dockerd = undefined;
    });
    // Before the daemon's own end, which looks for what is left.
    afterAll(async () => {
      await dockerd?.[Symbol.asyncDispose]();
    }, 60_000);
  }

  shared.test(
    "runs containers: output, exit codes, stdin, terminals, volumes, the host's network",
    async (daemon) => {
      const { docker, dockerOk, inTerminal } = await dockerOn(daemon);
      expect(await dockerOk(["run", "--rm", image, "echo", "ahoy"])).toBe("ahoy");
      expect((await docker(["run", "--rm", image, "sh", "-c", "echo no >&2; exit 7"])).code).toBe(7);
      expect((await docker(["run", "--rm", image, "/no/such"])).code).toBe(127);
      expect(await dockerOk(["run", "--rm", "-i", image, "cat"], { input: "through stdin" })).toBe("through stdin");
      const terminal = inTerminal(["run", "--rm", "-it", image, "sh"]);
      await waitFor("a prompt", () => /[#$] /.test(terminal.output()));
      terminal.type("tty && exit 5\n");
      expect(await terminal.exited).toBe(5);
      expect(terminal.output()).toContain("/dev/pts/0");
      await dockerOk(["run", "--rm", "-v", "hold:/hold", image, "sh", "-c", "echo cargo > /hold/f"]);
      expect(await dockerOk(["run", "--rm", "-v", "hold:/hold", image, "cat", "/hold/f"])).toBe("cargo");
      await dockerOk(["volume", "rm", "hold"]);
      expect(await dockerOk(["run", "--rm", "--network", "host", image, "echo", "at home"])).toBe("at home");
    },
    { needs, timeoutMs: 120_000 },
  );

  shared.test(
    "has a container lived with: exec, logs, attach, pause, top, stats, update, kill, events",
    async (daemon) => {
      const { docker, dockerOk } = await dockerOn(daemon);
      const since = String(Math.floor(Date.now() / 1000) - 1);
      const id = await dockerOk(["run", "-d", "--name", "sail", image, "sh", "-c", counting]);
      expect(await dockerOk(["exec", "sail", "echo", "inside"])).toBe("inside");
      expect((await docker(["exec", "sail", "sh", "-c", "exit 9"])).code).toBe(9);
      await waitFor("a log", async () => (await dockerOk(["logs", "sail"])).startsWith("line 0\nline 1"));
      await dockerOk(["pause", "sail"]);
      expect(await dockerOk(["ps", "--format", "{{.Status}}"])).toContain("(Paused)");
      await dockerOk(["unpause", "sail"]);
      expect(await dockerOk(["top", "sail"])).toContain("sh -c");
      const stats = JSON.parse(await dockerOk(["stats", "--no-stream", "--format", "{{json .}}", "sail"]));
      expect(stats.MemUsage).toMatch(/^[1-9]/);
      await dockerOk(["update", "--memory", "64m", "--memory-swap", "64m", "sail"]);
      const metrics = await daemon.ctrOk(["tasks", "metrics", "--format", "json", id]);
      expect(metrics).toContain("67108864");
      await dockerOk(["kill", "sail"]);
      expect(await dockerOk(["wait", "sail"])).toBe("137");
      await dockerOk(["rm", "sail"]);
      const until = String(Math.ceil(Date.now() / 1000) + 1);
      const filter = ["--since", since, "--until", until, "--filter", "container=sail", "--format", "{{.Action}}"];
      const actions = (await dockerOk(["events", ...filter])).split("\n").filter((one) => !one.startsWith("exec"));
      expect(actions).toEqual(["create", "start", "pause", "unpause", "top", "update", "kill", "die", "destroy"]);
    },
    { needs, timeoutMs: 120_000 },
  );

  shared.test(
    "restarts what failed, tells of the OOM killer, builds, and joins containers by a network",
    async (daemon) => {
      const { docker, dockerOk, folder } = await dockerOn(daemon);
      await dockerOk(["run", "-d", "--name", "again", "--restart", "on-failure:2", image, "sh", "-c", "exit 3"]);
      const again = ["inspect", "-f", "{{.RestartCount}} {{.State.ExitCode}} {{.State.Status}}", "again"];
      await waitFor("two restarts", async () => (await dockerOk(again)) === "2 3 exited", 30_000);
      await docker([
        "run",
        "--name",
        "oom",
        "-m",
        "16m",
        "--memory-swap",
        "16m",
        image,
        "dd",
        "if=/dev/zero",
        "of=/dev/null",
        "bs=64M",
      ]);
      expect(await dockerOk(["inspect", "-f", "{{.State.OOMKilled}} {{.State.ExitCode}}", "oom"])).toBe("true 137");
      const context = path.join(folder, "context");
      await fs.mkdir(context);
      await fs.writeFile(
        path.join(context, "Dockerfile"),
        `FROM ${image}\nRUN echo built > /made\nCMD ["cat", "/made"]\n`,
      );
      await dockerOk(["build", "-t", "built", context]);
      expect(await dockerOk(["run", "--rm", "built"])).toBe("built");
      await dockerOk(["network", "create", "bay"]);
      await dockerOk(["run", "-d", "--name", "berth", "--network", "bay", image, "sleep", "1000"]);
      const address = await dockerOk(["inspect", "-f", "{{.NetworkSettings.Networks.bay.IPAddress}}", "berth"]);
      expect(await dockerOk(["run", "--rm", "--network", "bay", image, "ping", "-c", "1", address])).toContain(
        "1 packets received",
      );
      await dockerOk(["rm", "-f", "again", "oom", "berth"]);
      await dockerOk(["network", "rm", "bay"]);
    },
    { needs, timeoutMs: 120_000 },
  );

  shared.test(
    "takes a checkpoint, and starts from it",
    async (daemon) => {
      const { dockerOk } = await dockerOn(daemon);
      await dockerOk(["run", "-d", "--name", "still", "--network", "none", image, "sh", "-c", counting]);
      await waitFor("a log", async () => (await dockerOk(["logs", "still"])).includes("line 3"));
      await dockerOk(["checkpoint", "create", "still", "noon"]);
      expect(await dockerOk(["inspect", "-f", "{{.State.Status}}", "still"])).toBe("exited");
      const before = (await dockerOk(["logs", "still"])).split("\n").length;
      // dockerd uploads what containerd made, and takes it for an error when that is not collected yet; so it does on containerd.
      await daemon.ctrOk(["leases", "create", "--id", "sweep"]);
      await daemon.ctrOk(["leases", "rm", "--sync", "sweep"]);
      await dockerOk(["start", "--checkpoint", "noon", "still"]);
      await waitFor("more of the log", async () => (await dockerOk(["logs", "still"])).split("\n").length > before + 2);
      expect(await dockerOk(["logs", "still"])).not.toContain("line 0\nline 1\nline 0");
      await dockerOk(["rm", "-f", "still"]);
    },
    { needs: [...needs, "criu"], timeoutMs: 120_000 },
  );

  shared.test(
    "keeps containers running while it, or the daemon, is killed and started again",
    async (daemon) => {
      const { dockerOk, kill, start } = await dockerOn(daemon);
      await dockerOk([
        "run",
        "-d",
        "--name",
        "lived",
        image,
        "sh",
        "-c",
        "while [ ! -e /go ]; do sleep 0.1; done; exit 5",
      ]);
      const pid = await dockerOk(["inspect", "-f", "{{.State.Pid}}", "lived"]);
      await daemon.kill();
      await daemon.start();
      await waitFor(
        "dockerd to find the daemon",
        async () => (await dockerOk(["exec", "lived", "echo", "one"])) === "one",
        30_000,
      );
      await kill();
      await start();
      expect(await dockerOk(["inspect", "-f", "{{.State.Pid}} {{.State.Status}}", "lived"])).toBe(`${pid} running`);
      await dockerOk(["exec", "lived", "touch", "/go"]);
      expect(await dockerOk(["wait", "lived"])).toBe("5");
      await dockerOk(["rm", "lived"]);
    },
    { needs, timeoutMs: 120_000 },
  );
});
