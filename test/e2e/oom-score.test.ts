import { describe, expect } from "bun:test";
import { readFileSync } from "node:fs";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  findProcesses,
  importBusybox,
  startLighter,
  testNeeding,
} from "../support/index.ts";

const scoreOf = (pid: number | "self"): number => Number(readFileSync(`/proc/${pid}/oom_score_adj`, "utf8"));

async function hostOf(daemon: Daemon): Promise<number> {
  const hosts = (await findProcesses(daemon.workspace.token)).filter((line) => / host --socket /.test(line));
  expect(hosts).toHaveLength(1);
  return Number.parseInt(hosts[0] ?? "", 10);
}

/** Whether this machine lets a process be spared more than the one that started it. */
const maySpare =
  Bun.spawnSync(["sh", "-c", "echo -250 > /proc/self/oom_score_adj"], { stderr: "ignore" }).exitCode === 0;

/** Starts a daemon and its host, and looks at their scores. */
async function expectScores(config: string, score: number): Promise<void> {
  const ofHost = Math.min(1000, score + 1);
  await using daemon = await startLighter({ config });
  await importBusybox(daemon);
  await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "sleep", "1000"]);
  expect([config, scoreOf(daemon.pid), scoreOf(await hostOf(daemon))]).toEqual([config, score, ofHost]);
  await daemon.ctrOk(["tasks", "rm", "-f", "c1"]);
}

describe("oom_score", () => {
  // The host is the likelier victim by one, as containerd's shims are: it is started again, and loses nothing.
  for (const [name, config, score] of [
    ["that is not configured is the one that the daemon was started with", "", scoreOf("self")],
    ["is the daemon's, and the shim host's is one above", "oom_score = 300\n", 300],
    ["of 1000 is the shim host's, too", "oom_score = 1000\n", 1000],
  ] as const) {
    testNeeding([...daemonNeeds(), "ours"], name, () => expectScores(config, score));
  }

  testNeeding([...daemonNeeds(), "ours"], "that the kernel refuses costs a warning, and nothing else", async () => {
    if (maySpare) return expectScores("oom_score = -250\n", -250);
    await using daemon = await startLighter({ config: "oom_score = -250\n" });
    expect(await daemon.logs()).toMatch(/level=warning msg="failed to change OOM score to -250" error=/);
    expect(scoreOf(daemon.pid)).toBe(scoreOf("self"));
  });
});
