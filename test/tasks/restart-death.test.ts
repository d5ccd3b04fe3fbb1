import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import { restartSteps } from "../../src/core/restarts/steps.ts";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Status } from "../../src/gen/containerd/v1/types/task_pb.ts";
import { restartLabels as labels } from "../../src/lib/restart-labels.ts";
import { anyOf, anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { findProcesses, missing, testNeeding, waitFor } from "../support/index.ts";
import type { Need } from "../support/requirements.ts";
import { CrashingDaemon } from "./crashing-daemon.ts";

const needs: readonly Need[] = ["root", "busybox", "lighterd", "crun"];

/** Of the task manager's own steps those that a restart takes. */
const taskSteps = [
  "delete.sent",
  "delete.answered",
  "delete.hidden",
  "create.bundled",
  "create.sent",
  "create.answered",
]
  .concat("start.sent", "start.answered")
  .map((step) => `daemon.${step}`);

describe("a daemon that dies while it restarts a container", () => {
  const isRunnable = missing(needs) === undefined;
  let crashing: CrashingDaemon;
  beforeAll(async () => {
    if (isRunnable) crashing = await CrashingDaemon.start("crun", false);
  });
  afterAll(async () => {
    if (isRunnable) await crashing[Symbol.asyncDispose]();
  }, 60_000);
  const test = (name: string, body: () => Promise<void>): void => testNeeding(needs, name, body, 60_000);

  async function run(id: string, more: Readonly<Record<string, string>>): Promise<void> {
    const script = "while :; do sleep 0.1; done";
    const spec = anyOfJson(ociTypeUrls.spec, {
      ociVersion: "1.0.2",
      process: { user: { uid: 0, gid: 0 }, args: ["sh", "-c", script], env: ["PATH=/bin"], cwd: "/" },
      root: { path: crashing.rootfs, readonly: false },
      mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
      linux: {
        cgroupsPath: `/${crashing.daemon.namespace}/${id}`,
        namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
      },
    });
    const options = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: "crun" }));
    const runtime = { name: "io.containerd.runc.v2", options };
    const all = { [labels.status]: "running", ...more };
    await crashing.containers.create({ container: { id, runtime, spec, labels: all } });
    await crashing.tasks.create({ containerId: id });
    await crashing.tasks.start({ containerId: id });
  }

  async function pidOf(id: string): Promise<number> {
    const found = (await crashing.tasks.list({})).tasks.find((task) => task.id === id);
    return found?.status === Status.RUNNING ? found.pid : 0;
  }

  const labelsOf = async (id: string): Promise<Readonly<Record<string, string>>> =>
    (await crashing.containers.get({ id })).container?.labels ?? {};

  /** Runs in another process than before, and nothing is left to be done. */
  async function restarted(id: string, before: number): Promise<void> {
    const isAgain = async (): Promise<boolean> => {
      const pid = await pidOf(id);
      return pid !== 0 && pid !== before && (await labelsOf(id))[labels.record] === undefined;
    };
    // A deletion that the host ends late may pass for a client's, which is given ten seconds for its next step.
    await waitFor(`${id} to run again`, isAgain, 30_000);
  }

  async function remove(id: string): Promise<void> {
    const update = { container: { id, labels: {} }, updateMask: { paths: [`labels.${labels.status}`] } };
    await crashing.containers.update(update);
    await crashing.tasks.kill({ containerId: id, signal: 9 });
    await crashing.tasks.wait({ containerId: id });
    await crashing.tasks.delete({ containerId: id });
    await crashing.containers.delete({ id });
    expect(await crashing.clean(id)).toEqual([]);
  }

  for (const step of [...restartSteps, ...taskSteps]) {
    test(`after ${step}: the next one ends with the container running, counted once`, async () => {
      const id = step.replaceAll(".", "-");
      // Counted twice it would not run again.
      await run(id, { [labels.policy]: "on-failure:1" });
      const before = await pidOf(id);
      await crashing.arm(step);
      await crashing.tasks.kill({ containerId: id, signal: 9 });
      await waitFor("the daemon to die", async () => !(await crashing.isArmed));
      await crashing.restart();
      await restarted(id, before);
      expect((await labelsOf(id))[labels.count]).toBe("1");
      await remove(id);
    });
  }

  test("and one that finds nothing of its tasks, as after a power cut, runs what should run", async () => {
    const policies = { always: "always", failure: "on-failure:3", unless: "unless-stopped", stopped: "unless-stopped" };
    const ids = Object.keys(policies);
    for (const [id, policy] of Object.entries(policies)) await run(id, { [labels.policy]: policy });
    const stopped = { [labels.explicitlyStopped]: "true" };
    const paths = [`labels.${labels.explicitlyStopped}`];
    await crashing.containers.update({ container: { id: "stopped", labels: stopped }, updateMask: { paths } });
    const pids = await Promise.all(ids.map(pidOf));
    await crashing.daemon.kill();
    for (const line of await findProcesses(crashing.daemon.workspace.token)) killNow(Number.parseInt(line, 10));
    for (const pid of pids) killNow(pid);
    await waitFor("all to be dead", () => Promise.resolve(!pids.some((pid) => isAlive(pid))));
    await emptyState(crashing.daemon.state);
    await removeCgroups(crashing.daemon.namespace);
    await crashing.restart();
    for (const [index, id] of ids.entries()) if (id !== "stopped") await restarted(id, pids[index] ?? 0);
    expect(await pidOf("stopped")).toBe(0);
    await crashing.containers.delete({ id: "stopped" });
    for (const id of ids) if (id !== "stopped") await remove(id);
  });
});

function killNow(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended by itself.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // There is none of that number.
    return false;
  }
}

/** What lies in memory is gone when the machine comes up; what is mounted there, too. */
async function emptyState(state: string): Promise<void> {
  const mounts = (await fs.readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "");
  for (const mount of mounts.filter((at) => at.startsWith(`${state}/`)).reverse())
    Bun.spawnSync(["umount", "-l", mount]);
  for (const name of await fs.readdir(state)) await fs.rm(path.join(state, name), { recursive: true, force: true });
}

async function removeCgroups(namespace: string): Promise<void> {
  for (const name of ["", ...(await fs.readdir("/sys/fs/cgroup"))]) {
    const folder = path.join("/sys/fs/cgroup", name, namespace);
    // Not every hierarchy has it.
    const names = await fs.readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of names) if (entry.isDirectory()) await fs.rmdir(path.join(folder, entry.name));
  }
}
