import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import type { SchemaPart } from "../../src/core/metadata/index.ts";
import { hostCommand } from "../../src/core/tasks/host/host-command.ts";
import { createHostProcess, hostSocketPath, type ProcessIo } from "../../src/core/tasks/index.ts";
import { creation, noIo, TestDaemon } from "../../src/core/tasks/test-daemon.ts";
import { OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { anyOf, anyOfJson, ociTypeUrls } from "../../src/wire/any.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";
import { criuFolder, expectNoLeaks, findProcesses, type RuntimeName, writeBusyboxRootfs } from "../support/index.ts";

export interface RealDaemonOptions {
  readonly criu?: boolean;
  readonly schemas?: readonly SchemaPart[];
}

/** The tasks of a daemon, in this process, over the real shim host and a real runtime. */
export class RealDaemon implements AsyncDisposable {
  readonly daemon: TestDaemon;
  readonly runtime: RuntimeName;
  readonly rootfs: string;

  private constructor(daemon: TestDaemon, runtime: RuntimeName, rootfs: string) {
    this.daemon = daemon;
    this.runtime = runtime;
    this.rootfs = rootfs;
  }

  /** With `criu`, the tests' own criu, and the crun that knows it, come first in the host's PATH. */
  static async start(
    runtime: RuntimeName,
    { criu = false, schemas = [] }: RealDaemonOptions = {},
  ): Promise<RealDaemon> {
    const { command } = hostCommand();
    const env = { ...process.env, PATH: `${criu ? `${criuFolder}:` : ""}${process.env["PATH"] ?? ""}:/usr/sbin:/sbin` };
    const launcher = (state: string) => createHostProcess({ state, command, env, logLevel: "debug" });
    const daemon = await TestDaemon.start(launcher, schemas);
    const rootfs = await writeBusyboxRootfs(path.join(daemon.folder, "busybox"));
    return new RealDaemon(daemon, runtime, rootfs);
  }

  /** A folder that containers see as /gate. */
  get gate(): string {
    return path.join(this.daemon.folder, "gate");
  }

  /** A container that runs a shell script; its streams are files. */
  async container(id: string, script: string, terminal = false): Promise<void> {
    await fs.mkdir(this.gate, { recursive: true });
    const { daemon } = this;
    const token = path.basename(daemon.folder);
    const spec = specOf({ rootfs: this.rootfs, script, gate: this.gate, cgroupsPath: `/${token}/${id}`, terminal });
    daemon.container(id, "io.containerd.runc.v2", anyOfJson(ociTypeUrls.spec, spec));
    const runtime = daemon.containers.get(id)?.runtime;
    if (runtime === undefined) throw new Error(`no runtime in container ${id}`);
    runtime.options = anyOf(OptionsSchema, create(OptionsSchema, { binaryName: this.runtime }));
  }

  /** Creates and starts a container that runs a script. Answers the process id. */
  async run(id: string, script: string, io: ProcessIo = noIo): Promise<number> {
    await this.container(id, script, io.terminal);
    await this.daemon.tasks.create(this.daemon.ctx, creation(id, { io }));
    return (await this.daemon.tasks.get(this.daemon.ctx, id)).start("");
  }

  async wait(id: string, execId = ""): Promise<number> {
    const task = await this.daemon.tasks.get(this.daemon.ctx, id);
    return (await task.wait(execId, AbortSignal.timeout(20_000))).exitStatus;
  }

  /** Ends a task, if it runs, and deletes it. Answers its exit status. */
  async remove(id: string): Promise<number> {
    const { tasks, ctx } = this.daemon;
    const task = await tasks.get(ctx, id);
    // It may have ended by itself.
    await task.kill("", { signal: 9, all: true }).catch(() => undefined);
    await task.wait("", AbortSignal.timeout(20_000));
    return (await tasks.delete(ctx, id)).exitStatus;
  }

  /** Opens the gate that scripts wait for. */
  async open(name: string): Promise<void> {
    await fs.writeFile(path.join(this.gate, name), "");
  }

  async hostPid(): Promise<number> {
    await using connection = await connectTtrpc({ path: hostSocketPath(this.daemon.state) });
    return (await connection.client(Host).info({})).pid;
  }

  async killHost(): Promise<void> {
    process.kill(await this.hostPid(), "SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { daemon } = this;
    for (const task of await daemon.tasks.list(daemon.ctx)) await this.remove(task.id).catch(() => undefined);
    await daemon.down();
    const token = path.basename(daemon.folder);
    try {
      await this.endHost();
      await expectNoLeaks(token);
    } finally {
      await killAll(token);
      await removeCgroups(token);
      await daemon[Symbol.asyncDispose]();
    }
  }

  /** Ends a host that has no task, as an administrator would. */
  async endHost(): Promise<void> {
    try {
      await using connection = await connectTtrpc({ path: hostSocketPath(this.daemon.state) });
      await connection.client(Host).shutdown({});
    } catch (error) {
      // Where no test started one there is none to end.
      if (await fs.exists(hostSocketPath(this.daemon.state))) throw error;
    }
  }
}

/** The cgroups above the containers' are nobody's but this daemon's. */
async function removeCgroups(token: string): Promise<void> {
  for (const name of ["", ...(await fs.readdir("/sys/fs/cgroup"))])
    await fs.rmdir(path.join("/sys/fs/cgroup", name, token)).catch(() => {}); // never made there
}

/** What a failed test left running must not disturb the next one. */
async function killAll(token: string): Promise<void> {
  for (const line of await findProcesses(token)) {
    try {
      process.kill(Number.parseInt(line, 10), "SIGKILL");
    } catch {
      // it ended by itself
    }
  }
}

interface SpecParts {
  readonly rootfs: string;
  readonly script: string;
  readonly gate: string;
  readonly cgroupsPath: string;
  readonly terminal: boolean;
}

function specOf({ rootfs, script, gate, cgroupsPath, terminal }: SpecParts): object {
  const mount = (destination: string, type: string, ...options: string[]): object => ({
    destination,
    type,
    source: type,
    options,
  });
  return {
    ociVersion: "1.0.2",
    process: {
      terminal,
      user: { uid: 0, gid: 0 },
      args: ["sh", "-c", script],
      env: ["PATH=/bin"],
      cwd: "/",
      noNewPrivileges: true,
    },
    root: { path: rootfs, readonly: false },
    hostname: "bench",
    mounts: [
      mount("/proc", "proc", "nosuid", "noexec", "nodev"),
      mount("/dev", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
      mount("/dev/pts", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"),
      { destination: "/gate", type: "bind", source: gate, options: ["rbind", "rw"] },
    ],
    linux: {
      cgroupsPath,
      namespaces: ["pid", "ipc", "uts", "mount"].map((type) => ({ type })),
    },
  };
}

/** A process spec for an exec that runs a shell script. */
export function processOf(script: string): ReturnType<typeof anyOfJson> {
  const spec = { user: { uid: 0, gid: 0 }, args: ["sh", "-c", script], env: ["PATH=/bin"], cwd: "/" };
  return anyOfJson(ociTypeUrls.process, spec);
}
