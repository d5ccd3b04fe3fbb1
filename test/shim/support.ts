import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Options, OptionsSchema } from "../../src/gen/containerd/runc/v1/oci_pb.ts";
import { Task as TaskService } from "../../src/gen/containerd/task/v3/shim_pb.ts";
import { type Event, Host } from "../../src/gen/lighter/shim/v1/host_pb.ts";
import { createKernel, type Kernel, unmountAll } from "../../src/sys/index.ts";
import { anyOf } from "../../src/wire/any.ts";
import type { ClientConnection, ServiceClient } from "../../src/wire/service.ts";
import { connectTtrpc } from "../../src/wire/ttrpc/index.ts";

export const kernel: Kernel = createKernel();
export const launcher: string = resolve(import.meta.dir, "../../bin/containerd-shim-lighter-v2");
export const runtimes: readonly string[] = ["runc", "crun"].filter((name) => Bun.which(name) !== null);
const busybox = ["/bin/busybox", "/usr/bin/busybox"].find(existsSync);
export const canRun: boolean = process.getuid?.() === 0 && runtimes.length > 0 && busybox !== undefined;

export interface BundleOptions {
  readonly args?: readonly string[];
  readonly terminal?: boolean;
  readonly linux?: Readonly<Record<string, unknown>>;
  readonly namespaces?: readonly string[];
  readonly hooks?: unknown;
  readonly readonly?: boolean;
  readonly mounts?: readonly unknown[];
  readonly ociVersion?: string;
  /** Beside the process's usual parts. */
  readonly process?: Readonly<Record<string, unknown>>;
}

/** A shim host of one test file with everything that it makes, in a folder of its own. */
export class HostFixture implements AsyncDisposable {
  readonly folder: string = mkdtempSync("/tmp/lighter-shim-");
  readonly namespace: string = `t${crypto.randomUUID().slice(0, 8)}`;
  readonly socket: string = join(this.folder, "host.sock");
  readonly state: string = join(this.folder, "state");
  readonly log: string = join(this.folder, "host.log");
  readonly bundles: string = join(this.folder, "bundles");
  readonly rootfs: string = join(this.folder, "rootfs");
  process: Bun.Subprocess | undefined;
  connection: ClientConnection | undefined;
  #env: Record<string, string> = {};

  static async start(env: Record<string, string> = {}): Promise<HostFixture> {
    const fixture = new HostFixture();
    fixture.#env = env;
    makeRootfs(fixture.rootfs);
    mkdirSync(fixture.bundles);
    await fixture.startHost();
    return fixture;
  }

  async startHost(): Promise<void> {
    const args = ["host", "--socket", this.socket, "--state", this.state, "--log", this.log, "--log-level", "debug"];
    const child = Bun.spawn([launcher, ...args], {
      stdio: ["ignore", "pipe", "inherit"],
      env: { ...process.env, ...this.#env },
      detached: true,
    });
    this.process = child;
    const first = await child.stdout.getReader().read();
    if (first.done) throw new Error(`the host did not start: ${readFileSync(this.log, "utf8")}`);
    this.connection = await connectTtrpc({ path: this.socket });
  }

  get pid(): number {
    return this.process?.pid ?? 0;
  }

  get tasks(): ServiceClient<typeof TaskService> {
    if (this.connection === undefined) throw new Error("not connected");
    return this.connection.client(TaskService, { namespace: this.namespace });
  }

  get host(): ServiceClient<typeof Host> {
    if (this.connection === undefined) throw new Error("not connected");
    return this.connection.client(Host);
  }

  async killHost(): Promise<void> {
    this.process?.kill("SIGKILL");
    await this.process?.exited;
    await this.connection?.[Symbol.asyncDispose]();
  }

  options(runtime: string, more: Partial<Options> = {}): Any {
    return anyOf(OptionsSchema, create(OptionsSchema, { ...more, binaryName: runtime } as never));
  }

  /** A bundle whose rootfs is a shared busybox, mounted by the host. */
  bundle(
    id: string,
    options: BundleOptions = {},
  ): { bundle: string; rootfs: { type: string; source: string; options: string[] }[] } {
    const bundle = join(this.bundles, id);
    mkdirSync(bundle, { recursive: true });
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec(this.namespace, id, options)));
    return {
      bundle,
      rootfs: [{ type: "bind", source: this.rootfs, options: ["rbind", ...(options.readonly ? ["ro"] : [])] }],
    };
  }

  fifo(name: string): string {
    const path = join(this.folder, `${name}.fifo`);
    kernel.mkfifo(path, 0o600);
    return path;
  }

  /** Events from the start, or after a number, until `until` says that it has seen enough. */
  async events(until: (events: readonly Event[]) => boolean, after = 0n, timeoutMs = 10_000): Promise<Event[]> {
    await using connection = await connectTtrpc({ path: this.socket });
    const seen: Event[] = [];
    const signal = AbortSignal.timeout(timeoutMs);
    if (until(seen)) return seen;
    try {
      for await (const event of connection.client(Host).events({ after }, { signal })) {
        seen.push(event);
        if (until(seen)) break;
      }
    } catch (error) {
      throw new Error(`after ${seen.map((e) => e.topic).join(" ")}`, { cause: error });
    }
    return seen;
  }

  /** The cgroups above the containers' are nobody's but this fixture's. */
  #removeCgroups(): void {
    for (const name of ["", ...readdirSync("/sys/fs/cgroup")]) {
      try {
        rmdirSync(join("/sys/fs/cgroup", name, this.namespace));
      } catch {
        // Not a hierarchy, or not one in which this namespace was.
      }
    }
  }

  /** Ends what a test left whose host is dead: the host, what it started, its keeper, and what runs in containers. */
  async #endAll(): Promise<void> {
    await eventually(() => {
      const left = [...this.#ownProcesses(), ...this.#containedProcesses()];
      for (const pid of left) kernel.kill(pid, 9);
      return left.length === 0;
    }).catch((error: unknown) => console.error("fixture: what is left does not end", error));
    // A cgroup stays busy for a moment after its last process.
    await eventually(() => {
      for (const folder of this.#cgroups()) rmdirSync(folder);
      return true;
    }).catch((error: unknown) => console.error("fixture: a cgroup stays", error));
  }

  /** Those with the fixture's folder in their arguments, or, as a keeper, in their environment. */
  #ownProcesses(): number[] {
    return readdirSync("/proc").flatMap((name) => {
      try {
        if (!/^\d+$/.test(name) || Number(name) === process.pid) return [];
        const words = ["cmdline", "environ"].map((file) => readFileSync(`/proc/${name}/${file}`, "utf8"));
        return words.some((text) => text.includes(this.folder)) ? [Number(name)] : [];
      } catch {
        // It has ended.
        return [];
      }
    });
  }

  #containedProcesses(): number[] {
    const texts = this.#cgroups().map((folder) => readFileSync(join(folder, "cgroup.procs"), "utf8"));
    return texts.flatMap((text) =>
      text
        .split("\n")
        .filter((line) => line !== "")
        .map(Number),
    );
  }

  /** The containers' cgroups, of every hierarchy. */
  #cgroups(): string[] {
    const parents = ["", ...readdirSync("/sys/fs/cgroup")].map((name) => join("/sys/fs/cgroup", name, this.namespace));
    return parents.filter(existsSync).flatMap((parent) =>
      readdirSync(parent, { withFileTypes: true })
        .filter((entry) => entry.isDirectory())
        .map((entry) => join(parent, entry.name)),
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      for (const task of (await this.host.list({})).tasks) {
        const client = this.connection?.client(TaskService, { namespace: task.namespace });
        await client?.kill({ id: task.id, signal: 9, all: true }).catch(() => {});
        await client?.wait({ id: task.id }, { timeoutMs: 5000 }).catch(() => {});
        await client
          ?.delete({ id: task.id }, { timeoutMs: 15_000 })
          .catch((e: unknown) => console.error("leftover", task.id, e));
      }
      await this.host.shutdown({ force: true }, { timeoutMs: 5000 });
      await this.process?.exited;
      if (existsSync(join(this.state, "keeper.json"))) console.error("the keeper outlived its tasks");
    } catch (error) {
      console.error("fixture:", error);
      await this.#endAll();
    }
    await this.connection?.[Symbol.asyncDispose]();
    this.#removeCgroups();
    for (const id of readdirSync(this.bundles)) unmountAll(kernel, join(this.bundles, id, "rootfs"));
    if (process.env["LIGHTER_TEST_KEEP"] === undefined) rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Reads a FIFO to its end. */
export async function readFifo(path: string): Promise<string> {
  const fd = kernel.open(path, 0o4000);
  try {
    const chunks: Uint8Array[] = [];
    for await (const chunk of Bun.file(fd).stream()) chunks.push(chunk);
    return Buffer.concat(chunks).toString();
  } finally {
    kernel.close(fd);
  }
}

/** Waits until something holds. */
export async function eventually<T>(what: () => T | Promise<T>, timeoutMs = 10_000): Promise<NonNullable<T>> {
  const deadline = performance.now() + timeoutMs;
  let last: unknown;
  for (;;) {
    try {
      const value = await what();
      if (value) return value as NonNullable<T>;
      last = value;
    } catch (error) {
      last = error;
    }
    if (performance.now() > deadline) throw new Error("it never held", { cause: last });
    await Bun.sleep(5);
  }
}

export function makeRootfs(path: string): void {
  for (const name of ["bin", "proc", "sys", "dev", "tmp", "etc", "root"])
    mkdirSync(join(path, name), { recursive: true });
  copyFileSync(busybox as string, join(path, "bin/busybox"));
  chmodSync(join(path, "bin/busybox"), 0o755);
  for (const name of [
    "sh",
    "cat",
    "echo",
    "sleep",
    "true",
    "false",
    "stty",
    "id",
    "dd",
    "seq",
    "env",
    "kill",
    "ls",
    "head",
    "tail",
    "yes",
    "readlink",
    "test",
    "wc",
    "tty",
    "touch",
  ]) {
    symlinkSync("busybox", join(path, "bin", name));
  }
  writeFileSync(join(path, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
}

export function processSpec(args: readonly string[], terminal = false): Record<string, unknown> {
  return {
    terminal,
    user: { uid: 0, gid: 0 },
    args,
    env: ["PATH=/bin", "TERM=xterm"],
    cwd: "/",
    capabilities: Object.fromEntries(
      ["bounding", "effective", "permitted"].map((set) => [set, ["CAP_KILL", "CAP_CHOWN", "CAP_SYS_CHROOT"]]),
    ),
    noNewPrivileges: true,
  };
}

function spec(namespace: string, id: string, options: BundleOptions): unknown {
  const kinds = options.namespaces ?? ["pid", "mount", "ipc", "uts", "network"];
  return {
    ociVersion: options.ociVersion ?? "1.0.2",
    process: { ...processSpec(options.args ?? ["true"], options.terminal ?? false), ...options.process },
    root: { path: "rootfs", readonly: options.readonly ?? false },
    hostname: "test",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      {
        destination: "/dev",
        type: "tmpfs",
        source: "tmpfs",
        options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
      },
      {
        destination: "/dev/pts",
        type: "devpts",
        source: "devpts",
        options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
      },
      ...(options.mounts ?? []),
    ],
    ...(options.hooks === undefined ? {} : { hooks: options.hooks }),
    linux: {
      cgroupsPath: `/${namespace}/${id}`,
      namespaces: kinds.map((type) => ({ type })),
      ...options.linux,
    },
  };
}
