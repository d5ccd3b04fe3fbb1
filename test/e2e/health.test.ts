import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { lighter, lighterOk } from "../cli/support.ts";
import { busyboxImage, type Daemon, findProcesses, type RuntimeName, sharedDaemon, waitFor } from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];

interface Health {
  readonly status: string;
  readonly failingStreak: number;
  readonly probes: readonly { readonly exitCode: number; readonly output: string }[];
}

async function healthOf(daemon: Daemon, id: string): Promise<Health | undefined> {
  const [found] = JSON.parse(await lighterOk(daemon, ["inspect", id])) as { health?: Health }[];
  return found?.health;
}

async function becomes(daemon: Daemon, id: string, status: string): Promise<Health> {
  let health: Health | undefined;
  await waitFor(`${id} to be ${status}`, async () => {
    health = await healthOf(daemon, id);
    return health?.status === status;
  });
  return health as Health;
}

async function statusOf(daemon: Daemon, id: string): Promise<string> {
  const rows = (await lighterOk(daemon, ["ps", "-a"])).split("\n");
  return rows.find((row) => row.startsWith(id)) ?? "";
}

/** A container whose check looks for a file that the test makes and takes away. */
async function start(daemon: Daemon, id: string, ...options: readonly string[]): Promise<string> {
  const folder = await fs.mkdtemp(path.join(daemon.workspace.folder, "health-"));
  const check = ["--health-cmd", "cat /h/well && echo fine || { echo ill >&2; exit 3; }"];
  const times = ["--health-interval", "150ms", "--health-retries", "2"];
  const words = [...check, ...times, ...options, "-v", `${folder}:/h`];
  await lighterOk(daemon, ["run", "-d", "--name", id, ...words, busyboxImage, "sleep", "1000"]);
  return path.join(folder, "well");
}

describe.each(runtimes)("the health of a container on %s", (runtime) => {
  // Its own containers and nerdctl's, whoever else looks after those on this machine.
  const config = '[plugins."io.lighter.monitor.container.v1.health"]\n  nerdctl = "always"\n';
  const shared = sharedDaemon({ runtime, config });

  shared.test("is checked, shown, told of, and known after the daemon was killed", async (daemon) => {
    const well = await start(daemon, "web");
    await waitFor("the first word", async () => /\((health: starting|unhealthy)\)/.test(await statusOf(daemon, "web")));
    const ill = await becomes(daemon, "web", "unhealthy");
    expect(ill.probes.at(-1)).toMatchObject({ exitCode: 3, output: expect.stringContaining("ill\n") });
    expect(ill.failingStreak).toBeGreaterThanOrEqual(2);
    expect(await statusOf(daemon, "web")).toContain("(unhealthy)");
    await fs.writeFile(`${well}.new`, "well ");
    await fs.rename(`${well}.new`, well);
    const cured = await becomes(daemon, "web", "healthy");
    expect(cured).toMatchObject({ failingStreak: 0 });
    expect(cured.probes.at(-1)).toMatchObject({ exitCode: 0, output: "well fine\n" });
    expect(cured.probes.length).toBeLessThanOrEqual(5);
    expect(await lighterOk(daemon, ["ps", "-q", "-f", "health=healthy"])).toBe("web\n");
    const events = await lighterOk(daemon, ["events", "--json", "--since", "1h", "--until", "0s", "containers/health"]);
    const told = events
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line).event);
    expect(told.map(({ containerId, status }) => [containerId, status])).toEqual([
      ["web", "unhealthy"],
      ["web", "healthy"],
    ]);
    await daemon.kill();
    await daemon.start();
    const kept = await healthOf(daemon, "web");
    expect(kept).toMatchObject({ status: "healthy" });
    await fs.rm(well);
    await becomes(daemon, "web", "unhealthy");
    await lighterOk(daemon, ["rm", "-f", "web"]);
    await waitFor("its files to go", async () => (await statesOf(daemon)).length === 0);
  });

  shared.test("is not asked for while it is paused, nor once it has ended, and begins anew", async (daemon) => {
    const well = await start(daemon, "box");
    await fs.writeFile(well, "");
    await becomes(daemon, "box", "healthy");
    await lighterOk(daemon, ["pause", "box"]);
    await fs.rm(well);
    const before = await healthOf(daemon, "box");
    await daemon.kill();
    await daemon.start();
    // Several intervals, in which a check that ran would have failed.
    await Bun.sleep(1000);
    expect(await healthOf(daemon, "box")).toEqual(before as Health);
    await lighterOk(daemon, ["resume", "box"]);
    await becomes(daemon, "box", "unhealthy");
    await lighterOk(daemon, ["stop", "-t", "0", "box"]);
    const ended = await healthOf(daemon, "box");
    await Bun.sleep(500);
    expect(await healthOf(daemon, "box")).toEqual(ended as Health);
    await fs.writeFile(well, "");
    await lighterOk(daemon, ["start", "box"]);
    const anew = await becomes(daemon, "box", "healthy");
    expect(anew.probes.every(({ exitCode }) => exitCode === 0)).toBe(true);
    await lighterOk(daemon, ["rm", "-f", "box"]);
  });

  shared.test("ends a check that takes too long, or that the daemon's death left behind", async (daemon) => {
    const slow = [
      "--health-cmd",
      "echo begun; exec sleep 43217",
      "--health-interval",
      "100ms",
      "--health-retries",
      "1",
    ];
    await lighterOk(daemon, [
      "run",
      "-d",
      "--name",
      "slow",
      ...slow,
      "--health-timeout",
      "400ms",
      busyboxImage,
      "sleep",
      "1000",
    ]);
    const late = await becomes(daemon, "slow", "unhealthy");
    expect(late.probes.at(-1)).toMatchObject({ exitCode: -1, output: "Health check exceeded timeout (0.4s): begun\n" });
    await lighterOk(daemon, ["rm", "-f", "slow"]);
    const options = [
      ...slow,
      "--health-timeout",
      "1h",
      "--health-start-period",
      "1h",
      "--health-start-interval",
      "100ms",
    ];
    await lighterOk(daemon, ["run", "-d", "--name", "left", ...options, busyboxImage, "sleep", "1000"]);
    const checks = async (): Promise<readonly string[]> =>
      (await findProcesses("43217")).filter((line) => line.endsWith("sleep 43217"));
    await waitFor("the check", async () => (await checks()).length === 1);
    const [old] = await checks();
    await daemon.kill();
    await daemon.start();
    await waitFor("another check in its place", async () => {
      const now = await checks();
      return now.length === 1 && now[0] !== old;
    });
    await lighterOk(daemon, ["rm", "-f", "left"]);
    expect(await checks()).toEqual([]);
  });

  shared.test("bounds what a check prints, and says why one can't be run", async (daemon) => {
    const loud = ["--health-cmd", "yes | head -c 3000000", "--health-interval", "100ms"];
    await lighterOk(daemon, ["run", "-d", "--name", "loud", ...loud, busyboxImage, "sleep", "1000"]);
    const { probes } = await becomes(daemon, "loud", "healthy");
    expect(probes[0]?.output).toBe("y\n".repeat(2048));
    const none = ["run", "-d", "--name", "none", "--health-interval", "100ms", "--health-retries", "1"];
    const label = [
      "-l",
      `nerdctl/healthcheck=${JSON.stringify({ Test: ["CMD", "/no/such"], Interval: 1e8, Retries: 1 })}`,
    ];
    await lighterOk(daemon, [...none, ...label, busyboxImage, "sleep", "1000"]);
    const [first] = (await becomes(daemon, "none", "unhealthy")).probes;
    expect(first?.exitCode).not.toBe(0);
    expect(first?.output).toContain("/no/such");
    await lighterOk(daemon, ["rm", "-f", "loud", "none"]);
  });

  shared.test("starts a container again that asks for it", async (daemon) => {
    const options = ["--health-on-failure", "kill", "--restart", "always"];
    await start(daemon, "again", ...options);
    await waitFor("a restart", async () => / always \([1-9]/.test(await statusOf(daemon, "again")));
    await lighterOk(daemon, ["rm", "-f", "again"]);
    expect((await lighter(daemon, ["run", "--health-cmd", "x", "--no-healthcheck", busyboxImage])).code).toBe(125);
  });
});

async function statesOf(daemon: Daemon): Promise<readonly string[]> {
  const folder = path.join(daemon.state, "io.lighter.monitor.container.v1.health/states");
  return (await fs.readdir(folder, { recursive: true })).filter((name) => name.endsWith(".json"));
}
