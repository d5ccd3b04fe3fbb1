import { afterAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { daemonPlugins, listRpcs, unfinishedText } from "../../src/daemon/index.ts";
import { Content, WriteAction } from "../../src/gen/containerd/services/content/v1/content_pb.ts";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { waitFor } from "../support/index.ts";
import { openManagerSocket } from "./manager-socket.ts";

const top = resolve(import.meta.dir, "../..");
const launcher = join(top, "bin/lighterd");
const scratch = mkdtempSync(join(tmpdir(), "ld-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let counter = 0;

interface Folder {
  readonly path: string;
  readonly flags: readonly string[];
}

function folder(): Folder {
  const path = join(scratch, String(counter++));
  mkdirSync(path);
  return { path, flags: ["--root", `${path}/root`, "--state", `${path}/state`, "--address", `${path}/l.sock`] };
}

/** Disposing of one ends it by SIGTERM and waits. */
type Daemon = Bun.Subprocess<"ignore", "pipe", "pipe">;

function spawn(command: readonly string[], options: { cwd?: string; env?: Record<string, string> } = {}): Daemon {
  const env = { ...process.env, ...options.env };
  return Bun.spawn([...command], { stdio: ["ignore", "pipe", "pipe"], cwd: options.cwd ?? "/", env });
}

/** Waits until the daemon says that it is ready; answers with what it wrote. */
async function untilReady(daemon: Daemon): Promise<string> {
  let text = "";
  for await (const chunk of daemon.stderr) {
    text += new TextDecoder().decode(chunk);
    if (text.includes(" ready in ")) return text;
  }
  throw new Error(`the daemon ended: ${text}`);
}

/** Every file below a folder with its mode and its owner; without the log of a shim host, which a daemon opens in its own time. */
function filesBelow(path: string): readonly string[] {
  return readdirSync(path, { recursive: true, encoding: "utf8" })
    .filter((name) => !name.includes("/.host"))
    .toSorted()
    .map((name) => {
      const { mode, uid } = statSync(join(path, name));
      return `${name} ${mode.toString(8)} ${uid}`;
    });
}

async function outcome(command: readonly string[]): Promise<{ code: number; stderr: string; stdout: string }> {
  await using child = spawn(command);
  const [stdout, stderr] = await Promise.all([child.stdout.text(), child.stderr.text()]);
  return { code: await child.exited, stderr, stdout };
}

/** The hierarchies that a daemon's own cgroup is made in: those of v1 where there are any. */
function cgroupHierarchies(): { readonly version: 1 | 2; readonly folders: readonly string[] } {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const of = (type: string): string[] =>
    lines.filter((line) => line.includes(` - ${type} `)).map((line) => line.split(" ")[4] ?? "");
  const v1 = of("cgroup");
  return v1.length > 0 ? { version: 1, folders: v1 } : { version: 2, folders: of("cgroup2").slice(0, 1) };
}

describe("lighterd", () => {
  test("makes its folders and sockets with containerd's modes, and takes the sockets away when it ends", async () => {
    const { path, flags } = folder();
    const mode = (name: string): string => (statSync(join(path, name)).mode & 0o777).toString(8);
    {
      await using daemon = spawn([launcher, ...flags]);
      await untilReady(daemon);
      expect([mode("root"), mode("state"), mode("l.sock"), mode("l.sock.ttrpc")]).toEqual(["700", "711", "660", "660"]);
    }
    expect([existsSync(join(path, "l.sock")), existsSync(join(path, "l.sock.ttrpc"))]).toEqual([false, false]);
  });

  test("refuses a root or a state that another daemon holds, and names it", async () => {
    const { path, flags } = folder();
    await using daemon = spawn([launcher, ...flags]);
    await untilReady(daemon);
    const before = filesBelow(path);
    const { code, stderr } = await outcome([launcher, ...flags.slice(0, 4), "--address", `${path}/other.sock`]);
    expect(code).toBe(1);
    expect(stderr).toContain(`root ${path}/root is in use by the daemon with pid ${daemon.pid}`);
    const other = ["--root", `${path}/other`, "--state", `${path}/state`, "--address", `${path}/other.sock`];
    const state = await outcome([launcher, ...other]);
    expect(state.code).toBe(1);
    expect(state.stderr).toContain(`state ${path}/state is in use by the daemon with pid ${daemon.pid}; stop that one`);
    // The one that is there goes on as if nobody had come; of the others nothing is left but the root that one made.
    rmSync(join(path, "other"), { recursive: true });
    expect(filesBelow(path)).toEqual(before);
    for (const what of ["root", "state"])
      expect(readFileSync(join(path, what, "lighterd.lock"), "utf8")).toBe(`${daemon.pid}\n`);
    await using client = await connectGrpc({ path: join(path, "l.sock") });
    expect((await client.client(Version).version({})).version).toMatch(/^v2\./);
  });

  test("says what to do about a folder that cannot be made", async () => {
    const { path, flags } = folder();
    writeFileSync(join(path, "file"), "");
    const { code, stderr } = await outcome([launcher, ...flags, "--root", join(path, "file")]);
    expect(code).toBe(1);
    expect(stderr).toEndWith(
      `lighterd: cannot make folder ${path}/file: a file is in the way; move it away, or choose another folder (--root)\n`,
    );
  });

  test("refuses a socket that answers and replaces a stale one", async () => {
    const { path, flags } = folder();
    const server = createServer().listen(`${path}/l.sock`);
    const { code, stderr } = await outcome([launcher, ...flags]);
    server.close();
    expect(code).toBe(1);
    expect(stderr).toContain(`socket ${path}/l.sock is in use`);
    const dead = spawn([launcher, ...flags]);
    await untilReady(dead);
    dead.kill("SIGKILL");
    await dead.exited;
    expect(existsSync(`${path}/l.sock`)).toBe(true);
    await using daemon = spawn([launcher, ...flags]);
    await untilReady(daemon);
  });

  test("takes no orders from its working folder, nor from the runtime's variables; runs through links", async () => {
    const { path } = folder();
    const evil = join(path, "evil.ts");
    writeFileSync(evil, `require("fs").writeFileSync(${JSON.stringify(join(path, "pwned"))}, "")`);
    writeFileSync(join(path, "bunfig.toml"), 'preload = ["./evil.ts"]');
    writeFileSync(join(path, ".env"), "LIGHTER_PROGRAM=evil\n");
    writeFileSync(join(path, "tsconfig.json"), '{"compilerOptions":{"baseUrl":".","paths":{"*":["./evil.ts"]}}}');
    symlinkSync(launcher, join(path, "containerd"));
    const env = { BUN_OPTIONS: `--preload=${evil}`, HOME: path };
    await using child = spawn(["./containerd", "--version"], { cwd: path, env });
    expect(await child.stdout.text()).toMatch(/^containerd lighter v2\./);
    expect(existsSync(join(path, "pwned"))).toBe(false);
  });

  test("stops at a wrong configuration with file and line", async () => {
    const { path, flags } = folder();
    writeFileSync(join(path, "c.toml"), "version = 3\noom_score = true\n");
    const { code, stderr } = await outcome([launcher, ...flags, "--config", join(path, "c.toml")]);
    expect(code).toBe(1);
    expect(stderr).toBe(
      `lighterd: ${path}/c.toml:2: oom_score: expected an integer from -1000 to 1000, got the boolean true; for example oom_score = 0\n`,
    );
  });

  test("prints its configuration, also as containerd; what it prints, it reads, and prints again", async () => {
    const { path } = folder();
    symlinkSync(launcher, join(path, "containerd"));
    const as = async (name: "lighterd" | "containerd", ...args: string[]): Promise<string> => {
      const { code, stdout, stderr } = await outcome([name === "lighterd" ? launcher : join(path, name), ...args]);
      expect([code, stderr]).toEqual([0, ""]);
      return stdout;
    };
    expect(await as("lighterd", "config", "default")).toContain('imports = [ "/etc/lighter/conf.d/*.toml" ]');
    for (const words of [["config"], ["config", "help"]])
      expect(await as("containerd", ...words)).toContain("containerd config default");
    const ours = await as("containerd", "config", "default");
    for (const text of ["version = 4", 'root = "/var/lib/containerd"', 'imports = [ "/etc/containerd/conf.d/*.toml" ]'])
      expect(ours).toContain(text);
    const old = join(path, "old.toml");
    const settings =
      'oom_score = 3\n[plugins.cri]\nsandbox_image = "pause"\n[proxy_plugins.far]\ntype = "snapshot"\naddress = "/far"\n' +
      '[timeouts]\n"io.containerd.timeout.shim.load" = "9s"\n[stream_processors.own]\naccepts = ["a"]\nreturns = "b"\npath = "p"\n';
    writeFileSync(old, settings);
    const migrated = await as("containerd", "-c", old, "config", "migrate");
    for (const text of [
      "version = 4",
      "oom_score = 3",
      'sandbox = "pause"',
      "[proxy_plugins.far]",
      '"9s"',
      "[stream_processors.own]",
    ])
      expect(migrated).toContain(text);
    writeFileSync(old, migrated);
    expect(await as("containerd", "-c", old, "config", "dump")).toBe(migrated);
  });

  test("gives its sockets the owner, the group and the mode that are configured", async () => {
    const { path, flags } = folder();
    const isRoot = process.getuid?.() === 0;
    const [uid, gid] = isRoot ? [1234, 4321] : [process.getuid?.() ?? 0, process.getgid?.() ?? 0];
    const table = (id: string, more: string): string =>
      `[plugins."io.containerd.server.v1.${id}"]\nuid = ${uid}\ngid = ${gid}\n${more}\n`;
    const place = (id: string): string => table(id, `address = "${path}/${id}.sock"`);
    const main = `${table("grpc", 'mode = "0600"')}${table("ttrpc", "mode = 0o666")}`;
    writeFileSync(join(path, "c.toml"), `version = 4\n${main}${place("debug")}${place("metrics")}`);
    await using daemon = spawn([launcher, ...flags, "--config", join(path, "c.toml")]);
    await untilReady(daemon);
    const shown = ["l.sock", "l.sock.ttrpc", "debug.sock", "metrics.sock"].map((name) => {
      const { mode, uid: user, gid: group } = statSync(join(path, name));
      return [name, mode & 0o777, user, group];
    });
    expect(shown).toEqual([
      ["l.sock", 0o600, uid, gid],
      ["l.sock.ttrpc", 0o666, uid, gid],
      ["debug.sock", 0o660, uid, gid],
      ["metrics.sock", 0o660, uid, gid],
    ]);
    writeFileSync(join(path, "c.toml"), `version = 4\n${table("grpc", 'mode = "0o660"')}`);
    const wrong = await outcome([launcher, ...flags, "--config", join(path, "c.toml")]);
    expect(wrong.stderr).toContain(
      'c.toml:5: plugins."io.containerd.server.v1.grpc".mode: expected permissions as chmod takes them, got the string "0o660"; for example mode = "0660"',
    );
  });

  test("is in the cgroup that its configuration names, which it makes on v1", async () => {
    const { path, flags } = folder();
    const name = `lighter-daemon-${process.pid}`;
    const hierarchies = cgroupHierarchies();
    const folders = hierarchies.folders.map((hierarchy) => join(hierarchy, name, "inner"));
    // On v2 a cgroup has to be there.
    if (hierarchies.version === 2) mkdirSync(folders[0] as string, { recursive: true });
    writeFileSync(join(path, "c.toml"), `version = 3\n[cgroup]\n  path = "${name}/inner"\n`);
    try {
      await using daemon = spawn([launcher, ...flags, "--config", join(path, "c.toml")]);
      await untilReady(daemon);
      for (const cgroup of folders)
        expect(readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n")).toContain(String(daemon.pid));
    } finally {
      for (const cgroup of folders) {
        // A process that ended a moment ago keeps its cgroup busy.
        await waitFor(`an empty ${cgroup}`, () => readFileSync(join(cgroup, "cgroup.procs"), "utf8") === "");
        rmdirSync(cgroup);
        rmdirSync(join(cgroup, ".."));
      }
    }
  });

  test("tells a service manager how it fares, and its watchdog that it lives", async () => {
    const { path, flags } = folder();
    await using manager = await openManagerSocket(join(path, "notify"));
    const env = { NOTIFY_SOCKET: manager.path, WATCHDOG_USEC: "60000" };
    await using daemon = spawn([launcher, ...flags], { env });
    await untilReady(daemon);
    const ready = await manager.until("READY=1;STATUS=serving");
    expect(manager.messages.slice(0, ready)).toContain("STATUS=starting");
    // The watchdog is fed on and on.
    const first = await manager.until("WATCHDOG=1", ready);
    await manager.until("WATCHDOG=1", first + 3);
    daemon.kill("SIGTERM");
    await manager.until("STOPPING=1;STATUS=stopping; containers keep running", ready);
  });
});

describe("a daemon that stops", () => {
  /** A call that is under way until its client goes on, or away. */
  async function writing(path: string): Promise<AsyncDisposable> {
    await using stack = new AsyncDisposableStack();
    const connection = stack.use(await connectGrpc({ path: join(path, "l.sock") }));
    const end = Promise.withResolvers<void>();
    stack.defer(() => end.resolve());
    async function* requests() {
      yield { ref: "r", action: WriteAction.WRITE, offset: 0n, total: 2n, data: Uint8Array.of(1) };
      await end.promise;
    }
    const answers = connection.client(Content, { namespace: "n" }).write(requests())[Symbol.asyncIterator]();
    expect((await answers.next()).value).toMatchObject({ offset: 1n });
    answers.next().catch(() => {});
    return stack.move();
  }

  test("gives calls five seconds, and ends then", async () => {
    const { path, flags } = folder();
    await using daemon = spawn([launcher, ...flags]);
    await untilReady(daemon);
    await using _call = await writing(path);
    daemon.kill("SIGTERM");
    const began = performance.now();
    expect(await daemon.exited).toBe(0);
    expect(performance.now() - began).toBeGreaterThan(4_000);
    expect(existsSync(join(path, "l.sock"))).toBe(false);
  });

  test("ends at once when it is told again", async () => {
    const { path, flags } = folder();
    await using daemon = spawn([launcher, ...flags]);
    await untilReady(daemon);
    await using _call = await writing(path);
    daemon.kill("SIGTERM");
    daemon.kill("SIGINT");
    expect(await daemon.exited).toBe(1);
  });
});

const architecture = join(top, "ARCHITECTURE.md");

test("ARCHITECTURE.md lists the methods that are not built", async () => {
  const list = unfinishedText(await listRpcs(daemonPlugins, folder().path));
  const document = readFileSync(architecture, "utf8");
  expect(document).toContain(`<!-- unfinished-rpcs:start -->\n${list}\n<!-- unfinished-rpcs:end -->`);
});
