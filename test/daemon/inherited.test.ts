import { describe, expect } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, daemonNeeds, importBusybox, startLighter, testNeeding, waitFor } from "../support/index.ts";

const top = path.resolve(import.meta.dir, "../..");
/** The first is flock(1)'s, and a service manager's first socket. */
const inherited = [3, 4, 9, 63];

describe("what a program was started with beyond its three streams", () => {
  testNeeding(
    [...daemonNeeds(), "ours", "containerd"],
    "is kept by the daemon from hosts, keepers, shims, loggers and containers",
    async () => {
      await using scene = await Scene.create();
      const program = await scene.script("lighterd", `${scene.opened}; exec "${top}/bin/lighterd" "$@"`);
      const logger = await scene.script("logger", "exec 5>&-; exec cat <&3 >/dev/null");
      await using daemon = await startLighter({ program });
      await importBusybox(daemon);
      const run = (id: string, ...flags: string[]): Promise<string> =>
        daemon.ctrOk(["run", "-d", ...flags, busyboxImage, id, "sleep", "1000"]);
      await run("c1", ...daemon.runtimeFlags, "--log-uri", `binary://${logger}`);
      await run("c2", "--null-io", "--runtime", Bun.which("containerd-shim-runc-v2") ?? "");
      await daemon.ctrOk(["tasks", "exec", "-d", "--exec-id", "e1", "c1", "sleep", "1000"]);
      expect(scene.holders()).toEqual([expect.stringContaining("lighterd.ts")]);
      for (const id of ["c1", "c2"]) await daemon.ctrOk(["tasks", "rm", "-f", id]);
    },
    60_000,
  );

  testNeeding(
    ["root"],
    "is kept by the start of a shim from the host that it leaves behind",
    async () => {
      await using scene = await Scene.create();
      const bundle = path.join(scene.folder, "io.containerd.runtime.v2.task/ns/c1");
      await fs.mkdir(bundle, { recursive: true });
      const args = "-namespace ns -address /nobody -id c1 start";
      const start = await scene.script(
        "start",
        `${scene.opened}; exec "${top}/bin/containerd-shim-lighter-v2" ${args} </dev/null`,
      );
      const child = Bun.spawn([start], { cwd: bundle, stdout: "pipe" });
      expect(await child.stdout.text()).toStartWith("unix://");
      expect(await child.exited).toBe(0);
      expect(scene.holders()).toEqual([]);
      const [host] = holdersOf(path.join(scene.folder, "io.lighter.shim/host.log"));
      process.kill(host?.pid ?? 0, "SIGTERM");
      await waitFor(
        "the host's end",
        () => holdersOf(path.join(scene.folder, "io.lighter.shim/host.log")).length === 0,
      );
    },
    30_000,
  );
});

interface Holder {
  readonly pid: number;
  readonly command: string;
}

/** A folder with programs that open a file and become others. */
class Scene implements AsyncDisposable {
  readonly folder: string;
  readonly #file: string;

  private constructor(folder: string) {
    this.folder = folder;
    this.#file = path.join(folder, "lock");
  }

  static async create(): Promise<Scene> {
    return new Scene(await fs.mkdtemp("/tmp/lt-fds-"));
  }

  /** bash's words for opening the file under all of the numbers. */
  get opened(): string {
    return inherited.map((fd) => `exec ${fd}>>${this.#file}`).join("; ");
  }

  async script(name: string, text: string): Promise<string> {
    const file = path.join(this.folder, name);
    await fs.writeFile(file, `#!/bin/bash\n${text}\n`, { mode: 0o755 });
    return file;
  }

  /** The command lines of who has the file open. */
  holders(): readonly string[] {
    return holdersOf(this.#file).map(({ command }) => command);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await fs.rm(this.folder, { recursive: true });
  }
}

function holdersOf(file: string): readonly Holder[] {
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name) && holds(name, file));
  return pids.map((pid) => ({ pid: Number(pid), command: readFileSync(`/proc/${pid}/cmdline`, "utf8") }));
}

function holds(pid: string, file: string): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === file);
  } catch {
    // It, or one of its descriptors, went meanwhile.
    return false;
  }
}
