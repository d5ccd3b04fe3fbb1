import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { waitFor } from "../support/index.ts";
import { type ManagerSocket, openManagerSocket } from "./manager-socket.ts";

const launcher = resolve(import.meta.dir, "../../bin/lighterd");
const scratch = mkdtempSync(join(tmpdir(), "lu-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** A daemon under a service manager of the test's own. */
class Managed implements AsyncDisposable {
  readonly manager: ManagerSocket;
  readonly path: string;
  readonly child: Bun.Subprocess;

  private constructor(manager: ManagerSocket, path: string, child: Bun.Subprocess) {
    this.manager = manager;
    this.path = path;
    this.child = child;
  }

  static async start(name: string): Promise<Managed> {
    const path = join(scratch, name);
    mkdirSync(path);
    const manager = await openManagerSocket(join(path, "notify"));
    const flags = ["--root", `${path}/root`, "--state", `${path}/state`, "--address", `${path}/l.sock`];
    const child = Bun.spawn([launcher, ...flags], {
      env: { ...process.env, NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: "150000" },
      stdio: ["ignore", "ignore", Bun.file(join(path, "log"))],
    });
    await manager.until("READY=1");
    return new Managed(manager, path, child);
  }

  get log(): string {
    return readFileSync(join(this.path, "log"), "utf8");
  }

  /** The pids of the daemons that began, in their order. */
  get pids(): readonly number[] {
    return [...this.log.matchAll(/starting lighterd.* pid=(\d+)/g)].map((match) => Number(match[1]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const pid of this.pids) end(pid);
    await waitFor("their end", () => !this.pids.some(isAlive), 30_000);
    await this.manager[Symbol.asyncDispose]();
  }
}

describe("a daemon that another takes the place of, under a service manager", () => {
  test("tells which process is the service before it ends, and that one is heard from then on", async () => {
    await using managed = await Managed.start("follow");
    const { manager, child } = managed;
    child.kill("SIGUSR2");
    const reloading = await manager.until("RELOADING=1;MONOTONIC_USEC=");
    expect(manager.messages[reloading]).toMatch(/^RELOADING=1;MONOTONIC_USEC=\d+;STATUS=/);
    const main = await manager.until("MAINPID=", reloading);
    const next = Number(/^READY=1;MAINPID=(\d+)$/.exec(manager.messages[main] ?? "")?.[1]);
    expect(managed.pids).toEqual([child.pid, next]);
    expect(await child.exited).toBe(0);
    await manager.until("READY=1;STATUS=serving", main);
    await manager.until("WATCHDOG=1", main + 4);
    process.kill(next, "SIGTERM");
    await manager.until("STOPPING=1", main);
    await waitFor("its end", () => !isAlive(next), 30_000);
    expect(existsSync(join(managed.path, "l.sock"))).toBe(false);
  }, 60_000);

  test("takes the other one with it when it dies first: the manager starts another", async () => {
    await using managed = await Managed.start("alone");
    managed.child.kill("SIGUSR2");
    await waitFor("another one", () => managed.log.includes("is ready to take over"), 30_000);
    managed.child.kill("SIGKILL");
    await managed.child.exited;
    const [, next] = managed.pids;
    // Either it was the service already, or it ends.
    const isService = () => managed.manager.messages.some((message) => message.includes(`MAINPID=${next}`));
    await waitFor("the other's end", () => next !== undefined && (isService() || !isAlive(next)), 30_000);
    if (!isService())
      expect(managed.log).toContain("is gone before it handed over; its service manager starts another one");
  }, 60_000);

  test("takes one that is on the way with it when it is told to stop", async () => {
    await using managed = await Managed.start("stopped");
    const [program, pidFile] = [join(managed.path, "slow"), join(managed.path, "slow.pid")];
    writeFileSync(program, `#!/bin/sh\necho $$ > ${pidFile}.new\nmv ${pidFile}.new ${pidFile}\nexec sleep 1000\n`, {
      mode: 0o755,
    });
    await using client = await connectGrpc({ path: join(managed.path, "l.sock") });
    const refused = client.client(System).upgrade({ path: program }).catch(String);
    await waitFor("the other one", () => existsSync(pidFile), 30_000);
    const other = Number(readFileSync(pidFile, "utf8"));
    try {
      managed.child.kill("SIGTERM");
      expect(await managed.child.exited).toBe(0);
      expect(isAlive(other)).toBe(false);
      expect(await refused).toContain("slow is not fit to take over: ");
    } finally {
      end(other);
    }
  }, 60_000);
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !readFileSync(`/proc/${pid}/stat`, "utf8").includes(") Z ");
  } catch {
    // Gone.
    return false;
  }
}

function end(pid: number): void {
  try {
    process.kill(pid, "SIGTERM");
  } catch {
    // It ended by itself.
  }
}
