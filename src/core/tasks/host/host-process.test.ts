import { describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { join } from "node:path";
import { failure, until } from "../test-daemon.ts";
import { createHostProcess, hostSocketPath } from "./host-process.ts";

/** Writes down how it was started, and ends. */
const witness = `
const { readdirSync, readFileSync, readlinkSync, writeFileSync } = require("node:fs");
const fds = readdirSync("/proc/self/fd").map((fd) => { try { return fd + " " + readlinkSync("/proc/self/fd/" + fd); } catch { return ""; } });
const session = readFileSync("/proc/self/stat", "utf8").split(") ")[1].split(" ")[3];
writeFileSync(process.env.WITNESS, JSON.stringify({ argv: process.argv.slice(1), env: process.env, fds, session, cwd: process.cwd() }));
console.error("the last words");
process.exit(3);
`;

describe("createHostProcess", () => {
  test("starts a session of its own, with nothing of ours open and no orders for the runtime", async () => {
    const state = await mkdtemp("/tmp/lighter-host-");
    const file = join(state, "witness.json");
    const script = join(state, "host.js");
    await Bun.write(script, witness);
    const launcher = createHostProcess({
      state,
      command: [process.execPath, script],
      runtimeBinary: "/usr/bin/crun",
      env: { WITNESS: file, BUN_OPTIONS: "--silent", PATH: "/usr/bin" },
    });
    expect(await launcher.connect()).toBeUndefined();
    const child = await launcher.launch();
    expect(await child.exited).toBe("exit status 3: the last words");
    const seen = await Bun.file(file).json();
    expect(seen.session).toBe(String(child.pid));
    expect(seen.cwd).toBe("/");
    expect(Object.keys(seen.env).sort()).toEqual(["PATH", "WITNESS"]);
    expect(seen.argv.slice(1)).toEqual([
      "host",
      "--socket",
      hostSocketPath(state),
      "--state",
      join(state, "shim/state"),
      "--log",
      join(state, "shim/host.log"),
      "--log-level",
      "info",
      "--runtime",
      "/usr/bin/crun",
    ]);
    // What is open beyond stdio must be the runtime's own: no file, no socket of this process.
    const strange = seen.fds.filter((fd: string) => /^(?:[3-9]|\d\d+) (?:\/(?!proc|dev)|socket)/.test(fd));
    expect(strange.filter((fd: string) => !fd.endsWith("host.js"))).toEqual([]);
    await rm(state, { recursive: true });
  });

  test("says what can't be started", async () => {
    const state = await mkdtemp("/tmp/lighter-host-");
    const launcher = createHostProcess({ state, command: ["/no/such/program"], env: {} });
    expect(await failure(launcher.launch())).toContain("start the shim host /no/such/program");
    const deep = createHostProcess({ state: `${state}/${"x".repeat(100)}`, command: ["/bin/true"], env: {} });
    expect(await failure(deep.launch())).toContain("is longer than 107 bytes");
    await rm(state, { recursive: true });
  });

  test("leaves a process that outlives this one", async () => {
    const state = await mkdtemp("/tmp/lighter-host-");
    const file = join(state, "pid");
    const parent = `
      const { createHostProcess } = await import(${JSON.stringify(join(import.meta.dir, "host-process.ts"))});
      const launcher = createHostProcess({ state: ${JSON.stringify(state)}, command: ["/bin/sh", "-c", "sleep 30"], env: {} });
      const child = await launcher.launch();
      await Bun.write(${JSON.stringify(file)}, String(child.pid));
      process.kill(process.pid, "SIGKILL");`;
    const dying = Bun.spawn([process.execPath, "-e", parent], { stdio: ["ignore", "ignore", "inherit"] });
    await dying.exited;
    const pid = Number(await Bun.file(file).text());
    await until(() => alive(pid), "the orphan");
    process.kill(pid, "SIGKILL");
    await rm(state, { recursive: true });
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    // No such process.
    return false;
  }
}
