// Shows a container's life on a private daemon: everything under one temporary folder, nothing left afterwards.
import { spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";

const top = path.resolve(import.meta.dir, "..");
const folder = fs.mkdtempSync(path.join(os.tmpdir(), "lighter-demo-"));
const socket = path.join(folder, "d.sock");
const hostSocket = path.join(folder, "state", "shim", "host.sock");
// The command keeps its logs and pipes there too.
const env = { ...process.env, LIGHTER_DATA: path.join(folder, "data"), LIGHTER_RUN: path.join(folder, "io") };
const steps: { what: string; ms: number }[] = [];

const daemon = spawn(
  path.join(top, "bin/lighterd"),
  ["--root", path.join(folder, "root"), "--state", path.join(folder, "state"), "--address", socket],
  { stdio: ["ignore", "ignore", fs.openSync(path.join(folder, "log"), "w")] },
);
console.log("A private daemon, which goes away at the end with all that it made.\n");
try {
  await timed("start the daemon", answers);
  await timed("make an image from busybox", async () =>
    lighter(["image", "from-rootfs", busyboxTree(), "demo:latest"]),
  );
  for (const time of ["first", "second"]) {
    await timed(`run a container, the ${time} time`, async () =>
      process.stdout.write(lighter(["run", "--rm", "demo:latest", "echo", "Hello from a container."])),
    );
  }
  lighter(["run", "-d", "--name", "sleeper", "demo:latest", "sleep", "60"]);
  process.stdout.write(`\n${lighter(["ps"])}`);
  await timed("run a command in it", async () => process.stdout.write(lighter(["exec", "sleeper", "uname", "-sr"])));
  lighter(["rm", "-f", "sleeper"]);
  console.log("\nIt took");
  for (const { what, ms } of steps) console.log(`  ${what.padEnd(34)} ${ms.toFixed(0).padStart(6)} ms`);
  console.log("\nNext: npm start, and in another terminal bin/lighter --help");
} catch (error) {
  console.error(`the demonstration failed: ${error instanceof Error ? error.message : String(error)}`);
  console.error(fs.readFileSync(path.join(folder, "log"), "utf8").split("\n").slice(-8).join("\n"));
  process.exitCode = 1;
} finally {
  await endDaemon();
  fs.rmSync(folder, { recursive: true, force: true });
}

/** Waits until the daemon answers; it fails when the daemon ends first. */
async function answers(): Promise<void> {
  const deadline = Date.now() + 30_000;
  while (spawnSync(path.join(top, "bin/lighter"), ["-a", socket, "version"]).status !== 0) {
    if (daemon.exitCode !== null) throw new Error(`the daemon ended with code ${daemon.exitCode}`);
    if (Date.now() > deadline) throw new Error("the daemon did not answer in 30 seconds");
    await Bun.sleep(50);
  }
}

async function timed(what: string, action: () => Promise<unknown>): Promise<void> {
  const start = performance.now();
  await action();
  steps.push({ what, ms: performance.now() - start });
}

function lighter(args: readonly string[]): string {
  const result = spawnSync(path.join(top, "bin/lighter"), ["-a", socket, ...args], { encoding: "utf8", env });
  if (result.status !== 0) throw new Error(`lighter ${args.join(" ")}: ${result.stderr.trim()}`);
  return result.stdout;
}

function busyboxTree(): string {
  const bin = path.join(folder, "tree", "bin");
  fs.mkdirSync(bin, { recursive: true });
  const busybox = ["/bin/busybox", "/usr/bin/busybox"].find((file) => fs.existsSync(file));
  if (busybox === undefined) throw new Error("busybox is missing; install busybox-static");
  fs.copyFileSync(busybox, path.join(bin, "busybox"));
  for (const name of ["sh", "echo", "sleep", "uname"]) fs.symlinkSync("busybox", path.join(bin, name));
  return path.join(folder, "tree");
}

/** Ends the daemon and the shim host, which would wait for the next daemon otherwise. */
async function endDaemon(): Promise<void> {
  const ended = new Promise((resolve) => daemon.once("exit", resolve));
  if (daemon.exitCode === null) {
    daemon.kill("SIGTERM");
    await ended;
  }
  for (const pid of fs.readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    const command = commandLine(pid);
    if (command.includes("host") && command.includes(hostSocket)) process.kill(Number(pid), "SIGTERM");
  }
}

function commandLine(pid: string): readonly string[] {
  try {
    return fs.readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
  } catch {
    // The process ended while its folder was read.
    return [];
  }
}
