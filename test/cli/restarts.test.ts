import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, type Daemon, sharedDaemon, waitFor } from "../support/index.ts";
import { lighter, lighterOk } from "./support.ts";

interface Shown {
  readonly state: { readonly status: string; readonly pid: number; readonly exitStatus?: number };
  readonly restart?: {
    readonly policy: string;
    readonly count: number;
    readonly explicitlyStopped: boolean;
    readonly waiting?: { readonly reason: string };
  };
}

async function inspect(daemon: Daemon, id: string): Promise<Shown> {
  const [shown] = JSON.parse(await lighterOk(daemon, ["inspect", id]));
  return shown;
}

/** Ends a container's task as a crash of its program would: nobody asked for it. */
const crash = (daemon: Daemon, id: string): Promise<string> => daemon.ctrOk(["task", "kill", "-s", "SIGKILL", id]);

/** Waits for it to run in another process than before. Answers the new one. */
async function runsAgain(daemon: Daemon, id: string, before: number): Promise<number> {
  let pid = 0;
  const again = async (): Promise<boolean> => {
    const { state } = await inspect(daemon, id);
    pid = state.status === "running" ? state.pid : 0;
    return pid !== 0 && pid !== before;
  };
  await waitFor(`${id} to run again`, again, 30_000);
  return pid;
}

/** Why it was restarted each time, as the history of events tells. */
async function reasonsOf(daemon: Daemon, id: string): Promise<readonly { count: number; reason: string }[]> {
  const text = await lighterOk(daemon, ["events", "--since", "1h", "--until", "0s", "--json", "containers/update"]);
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line).event as { id: string; labels?: Record<string, string> })
    .flatMap(({ id: one, labels }) => (one === id && labels?.["lighter/restart"] ? [labels["lighter/restart"]] : []))
    .map((record) => JSON.parse(record))
    .flatMap(({ state, count, reason }) => (state === "waiting" ? [{ count, reason }] : []));
}

const pidOf = async (daemon: Daemon, id: string): Promise<number> => (await inspect(daemon, id)).state.pid;
const forever = ["sh", "-c", "echo begun; while :; do sleep 0.1; done"];

describe("containers that are started again", () => {
  const shared = sharedDaemon();

  shared.test("on failure, as often as it may be, into the same log", async (daemon) => {
    const words = [
      "run",
      "-d",
      "--restart",
      "on-failure:2",
      "--name",
      "flaky",
      busyboxImage,
      "sh",
      "-c",
      "echo x; exit 3",
    ];
    expect(await lighterOk(daemon, words)).toBe("flaky\n");
    const ended = async (): Promise<boolean> => {
      const { state, restart } = await inspect(daemon, "flaky");
      return state.status === "exited" && restart?.count === 2;
    };
    await waitFor("its last end", ended, 30_000);
    expect(await lighterOk(daemon, ["ps", "-a"])).toMatch(/^flaky .* Exited \(3\) .* on-failure:2 \(2\)/m);
    expect(await lighterOk(daemon, ["logs", "flaky"])).toBe("x\nx\nx\n");
    expect(await reasonsOf(daemon, "flaky")).toEqual([
      { count: 1, reason: "it exited with 3" },
      { count: 2, reason: "it exited with 3" },
    ]);
    // One more, for a person allows it.
    await lighterOk(daemon, ["update", "--restart", "on-failure:3", "flaky"]);
    await waitFor("another try", async () => (await inspect(daemon, "flaky")).restart?.count === 3, 30_000);
    await lighterOk(daemon, ["update", "--restart", "no", "flaky"]);
    await lighterOk(daemon, ["rm", "-f", "flaky"]);
    const well = ["run", "-d", "--restart", "on-failure", "--name", "well", busyboxImage, "true"];
    await lighterOk(daemon, well);
    await waitFor("its end", async () => (await inspect(daemon, "well")).state.status === "exited");
    expect((await inspect(daemon, "well")).restart).toMatchObject({ policy: "on-failure", count: 0 });
    await lighterOk(daemon, ["rm", "well"]);
  });

  shared.test("unless they are stopped or killed by somebody, until that one starts them", async (daemon) => {
    for (const id of ["web", "other"])
      await lighterOk(daemon, ["run", "-d", "--restart", "unless-stopped", "--name", id, busyboxImage, ...forever]);
    const first = await pidOf(daemon, "web");
    await crash(daemon, "web");
    await runsAgain(daemon, "web", first);
    expect(await lighterOk(daemon, ["ps"])).toMatch(/^web .* Up .* unless-stopped \(1\)/m);
    for (const verb of ["stop", "kill"]) {
      await lighterOk(daemon, verb === "stop" ? ["stop", "-t", "0", "web"] : ["kill", "web"]);
      // By the time at which another one runs again, this one would, too.
      const before = await pidOf(daemon, "other");
      await crash(daemon, "other");
      await runsAgain(daemon, "other", before);
      const { state, restart } = await inspect(daemon, "web");
      expect({ verb, ...state, ...restart }).toMatchObject({
        status: "exited",
        exitStatus: 137,
        explicitlyStopped: true,
      });
      await lighterOk(daemon, ["start", "web"]);
      expect(await inspect(daemon, "web")).toMatchObject({
        state: { status: "running" },
        restart: { count: 0, explicitlyStopped: false },
      });
    }
    const last = await pidOf(daemon, "web");
    await crash(daemon, "web");
    await runsAgain(daemon, "web", last);
    expect(await lighter(daemon, ["rm", "web"])).toMatchObject({ code: 1 });
    await lighterOk(daemon, ["rm", "-f", "web", "other"]);
    expect(await lighterOk(daemon, ["ps", "-aq"])).toBe("");
  });

  shared.test(
    "with the daemon, which was killed, those that were stopped before only if it is always",
    async (daemon) => {
      for (const [id, policy] of [
        ["always", "always"],
        ["stopped", "always"],
        ["resting", "unless-stopped"],
      ] as const) {
        await lighterOk(daemon, ["run", "-d", "--restart", policy, "--name", id, busyboxImage, ...forever]);
      }
      await lighterOk(daemon, ["stop", "-t", "0", "stopped", "resting"]);
      const before = await pidOf(daemon, "always");
      await daemon.kill();
      process.kill(before, "SIGKILL");
      await daemon.start();
      await runsAgain(daemon, "always", before);
      await runsAgain(daemon, "stopped", 0);
      expect((await inspect(daemon, "resting")).state.status).toBe("exited");
      expect((await inspect(daemon, "always")).restart).toMatchObject({ count: 1 });
      await lighterOk(daemon, ["rm", "-f", "always", "stopped", "resting"]);
    },
  );

  shared.test("also what ran here; the command ends with its first life and says so", async (daemon) => {
    const script = ["sh", "-c", "echo said; exit 5"];
    const words = ["run", "--restart", "on-failure:1", "--name", "here", busyboxImage, ...script];
    const result = await lighter(daemon, words);
    expect(result).toMatchObject({ code: 5, stdout: "said\n", stderr: expect.stringContaining("lighter stop here") });
    await waitFor(
      "its second life",
      async () => (await lighterOk(daemon, ["logs", "here"])) === "said\nsaid\n",
      30_000,
    );
    await waitFor("its second end", async () => (await inspect(daemon, "here")).state.status === "exited", 30_000);
    await lighterOk(daemon, ["rm", "here"]);
  });

  shared.test("by labels alone, as nerdctl sets them, through a logger's program", async (daemon) => {
    // What nerdctl asks before it sets them.
    expect(await daemon.ctrOk(["plugins", "ls", "-d", "id==restart"])).toContain("no,always,on-failure,unless-stopped");
    const folder = daemon.workspace.folder;
    const logger = path.join(folder, "logger.sh");
    const log = path.join(folder, "logger.log");
    // Descriptors 3 to 5: both outputs, and one to close when it is ready. Source: containerd core/runtime/v2/logging.
    await fs.writeFile(logger, `#!/bin/sh\nexec 5>&-\ncat <&3 >>${log}\n`, { mode: 0o755 });
    const labels = [
      "containerd.io/restart.policy=always",
      `containerd.io/restart.loguri=binary://${logger}?id=labelled`,
      "containerd.io/restart.explicitly-stopped=false",
      "containerd.io/restart.status=running",
    ];
    const run = ["run", "-d", ...daemon.runtimeFlags, ...labels.flatMap((label) => ["--label", label])];
    await daemon.ctrOk([...run, busyboxImage, "labelled", ...forever]);
    const before = await pidOf(daemon, "labelled");
    await crash(daemon, "labelled");
    await runsAgain(daemon, "labelled", before);
    await waitFor("the logger", async () => (await fs.readFile(log, "utf8").catch(() => "")) === "begun\n");
    expect((await inspect(daemon, "labelled")).restart).toMatchObject({ policy: "always", count: 1 });
    await daemon.ctrOk(["containers", "label", "labelled", "containerd.io/restart.status=stopped"]);
    await waitFor("its end", async () => (await inspect(daemon, "labelled")).state.status !== "running");
    await waitFor("its task to go", async () => !(await daemon.ctrOk(["task", "ls"])).includes("labelled"));
    await lighterOk(daemon, ["rm", "labelled"]);
  });

  shared.test("say why they can't be when their root is gone, and go when they are removed", async (daemon) => {
    await lighterOk(daemon, ["run", "-d", "--restart", "always", "--name", "rootless", busyboxImage, ...forever]);
    await daemon.ctrOk(["snapshots", "rm", "rootless"]);
    await crash(daemon, "rootless");
    const said = async (): Promise<boolean> =>
      (await inspect(daemon, "rootless")).restart?.waiting?.reason.includes("rootless") === true;
    await waitFor("the reason", said, 30_000);
    expect(await lighterOk(daemon, ["ps"])).toMatch(/^rootless .* Restarting \(137\) .* always \(1\)/m);
    expect(await lighter(daemon, ["rm", "rootless"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining('container "rootless" is being restarted\nhint: stop it first'),
    });
    await lighterOk(daemon, ["rm", "-f", "rootless"]);
    const complaints = (await daemon.logs()).split("\n").filter((line) => /level=error.*id=rootless/.test(line));
    expect(complaints.length).toBe(1);
  });

  shared.test("only by policies that there are", async (daemon) => {
    for (const [words, text] of [
      [["update", "x"], "update needs --restart\nhint: use no, always"],
      [["update", "--restart", "always:3", "x"], 'restart policy "always" not support max retry count'],
      [["update", "--restart", "on-failure:-1", "x"], "is no policy"],
      [["update", "-m", "1g", "x"], "lighter run has the limits"],
    ] as const) {
      expect(await lighter(daemon, words)).toMatchObject({ stderr: expect.stringContaining(text) });
    }
  });
});
