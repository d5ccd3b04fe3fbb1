import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { lighter, lighterOk } from "../cli/support.ts";
import { type Daemon, type RuntimeName, runOk, sharedDaemon, waitFor, writeBusyboxRootfs } from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
/** perl-base is on every Debian, and speaks to sockets without a module. A socket's address is `unix PATH` or `tcp PORT`. */
const address = `sub at { $_[0] eq "unix" ? (1, pack("S a108", 1, $_[1])) : (2, pack("S n C4 x8", 2, $_[1], 127, 0, 0, 1)) }`;
/** Takes what comes to a socket into a file. Words: kind of address, address, stream or dgram, file. */
const listener = `${address} my ($kind, $where, $type, $file) = @ARGV; my ($family, $name) = at($kind, $where);
  socket(S, $family, $type eq "dgram" ? 2 : 1, 0) and bind(S, $name) or die "bind: $!";
  open(F, ">>", $file); select(F); $| = 1; print F "open\\n";
  if ($type eq "dgram") { while (defined recv(S, $got, 100, 0)) { print F $got } }
  listen(S, 5); while (accept(C, S)) { print F "connected\\n"; while (sysread(C, $got, 100)) { print F $got } }`;
/** Counts into a connected socket, and says on its output when that is lost. */
const talker = `${address} my ($kind, $where, $type) = @ARGV; my ($family, $name) = at($kind, $where); $SIG{PIPE} = "IGNORE";
  socket(S, $family, $type eq "dgram" ? 2 : 1, 0) and connect(S, $name) or die "connect: $!";
  for (my $i = 1; ; $i++) { syswrite(S, "$i\\n") or print STDOUT "lost: $!\\n"; select(undef, undef, undef, 0.02) }`;

/** A process outside of all containers at the other end of a socket. */
class Listener implements AsyncDisposable {
  readonly #child: Bun.Subprocess;
  readonly #file: string;
  private constructor(child: Bun.Subprocess, file: string) {
    this.#child = child;
    this.#file = file;
  }

  static async start(words: readonly string[], file: string): Promise<Listener> {
    const child = Bun.spawn(["perl", "-e", listener, "--", ...words, file], { stdio: ["ignore", "ignore", "inherit"] });
    const one = new Listener(child, file);
    await waitFor("the socket", async () => (await one.heard()).length > 0);
    return one;
  }

  /** What it heard, line by line. */
  async heard(): Promise<readonly string[]> {
    return (await fs.readFile(this.#file, "utf8").catch(() => "")).split("\n").slice(0, -1);
  }

  async count(): Promise<number> {
    return Number((await this.heard()).at(-1)) || 0;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill();
    await this.#child.exited;
  }
}

describe.each(runtimes)("a checkpoint on %s of what talks to the world outside", (runtime) => {
  const shared = sharedDaemon({ runtime, criu: true });
  const test: typeof shared.test = (name, body) => shared.test(name, body, { needs: ["ours"], timeoutMs: 120_000 });
  let hasImage = false;

  async function makeImage(daemon: Daemon): Promise<void> {
    if (hasImage) return;
    const tree = path.join(daemon.workspace.folder, "perl-tree");
    await writeBusyboxRootfs(tree);
    const linked = (await runOk(["ldd", "/usr/bin/perl"])).match(/\/\S+/g) ?? [];
    for (const file of ["/usr/bin/perl", ...linked]) {
      await fs.mkdir(path.dirname(path.join(tree, file)), { recursive: true });
      await fs.copyFile(file, path.join(tree, file));
    }
    await lighterOk(daemon, ["image", "from-rootfs", tree, "perlbox"]);
    hasImage = true;
  }

  /** Starts a container that talks to a listener. */
  async function talk(daemon: Daemon, words: readonly string[], flags: readonly string[]): Promise<string> {
    await makeImage(daemon);
    const id = shared.newId();
    const run = ["run", "-d", "--runtime", runtime, "--name", id, ...flags, "perlbox"];
    await lighterOk(daemon, [...run, "/usr/bin/perl", "-e", talker, "--", ...words]);
    return id;
  }

  const newFile = (daemon: Daemon): string => path.join(daemon.workspace.folder, `heard-${shared.newId()}`);
  const newSocket = async (daemon: Daemon): Promise<string> => {
    const folder = path.join(daemon.workspace.folder, `sea-${shared.newId()}`);
    await fs.mkdir(folder);
    return path.join(folder, "sock");
  };
  const save = (daemon: Daemon, id: string, ...flags: readonly string[]): ReturnType<typeof lighter> =>
    lighter(daemon, ["checkpoint", "create", ...flags, id, `of-${id}`]);

  /** Saves a container, brings it back, and sees its count go on where it was. */
  async function goesOn(daemon: Daemon, id: string, other: Listener, flag: string): Promise<void> {
    await waitFor("a count of five", async () => (await other.count()) >= 5);
    const refused = await save(daemon, id, "--leave-running");
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`add ${flag}`) });
    expect(await save(daemon, id, flag)).toMatchObject({ code: 0 });
    const saved = await other.count();
    await lighterOk(daemon, ["start", "--checkpoint", `of-${id}`, id]);
    await waitFor("it to go on", async () => (await other.count()) >= saved + 10);
    const numbers = (await other.heard()).map(Number).filter((number) => number > 0);
    expect(numbers).toEqual(numbers.map((_, at) => at + 1));
    expect(await lighterOk(daemon, ["logs", id])).not.toContain("lost");
    await lighterOk(daemon, ["rm", "-f", id]);
  }

  test("keeps a TCP connection, with --tcp", async (daemon) => {
    const port = String(20_000 + Math.floor(Math.random() * 10_000));
    await using other = await Listener.start(["tcp", port, "stream"], newFile(daemon));
    const id = await talk(daemon, ["tcp", port, "stream"], ["--net", "host"]);
    await goesOn(daemon, id, other, "--tcp");
    expect((await other.heard()).filter((line) => line === "connected").length).toBe(1);
  });

  test("keeps a datagram socket to one outside, on the same network and at the same path, with --unix", async (daemon) => {
    const socket = await newSocket(daemon);
    await using other = await Listener.start(["unix", socket, "dgram"], newFile(daemon));
    const folder = path.dirname(socket);
    const id = await talk(daemon, ["unix", socket, "dgram"], ["--net", "host", "-v", `${folder}:${folder}`]);
    await goesOn(daemon, id, other, "--unix");
  });

  // What CRIU cannot do, it says before anything is stopped: the container goes on.
  test("says what of unix sockets cannot be kept, and lets the container go on", async (daemon) => {
    const socket = await newSocket(daemon);
    const folder = path.dirname(socket);
    const cases: readonly (readonly [string, readonly string[], string])[] = [
      ["dgram", [], "hint: it talks to a unix socket of another network: CRIU can keep that with --net host only"],
      [
        "stream",
        ["--net", "host"],
        "hint: CRIU cannot save a stream to a process outside: the program must end the connection first",
      ],
    ];
    for (const [type, flags, hint] of cases) {
      await fs.rm(socket, { force: true });
      await using other = await Listener.start(["unix", socket, type], newFile(daemon));
      const id = await talk(daemon, ["unix", socket, type], [...flags, "-v", `${folder}:${folder}`]);
      await waitFor("a count of five", async () => (await other.count()) >= 5);
      expect(await save(daemon, id, "--unix")).toMatchObject({ code: 1, stderr: expect.stringContaining(hint) });
      const before = await other.count();
      await waitFor("it to go on", async () => (await other.count()) > before);
      await lighterOk(daemon, ["rm", "-f", id]);
    }
  });

  test("says at the restore that nobody is at the other end any more, and can be tried again", async (daemon) => {
    const socket = await newSocket(daemon);
    const folder = path.dirname(socket);
    const file = newFile(daemon);
    let id = "";
    {
      await using other = await Listener.start(["unix", socket, "dgram"], file);
      id = await talk(daemon, ["unix", socket, "dgram"], ["--net", "host", "-v", `${folder}:${folder}`]);
      await waitFor("a count of five", async () => (await other.count()) >= 5);
      expect(await save(daemon, id, "--unix")).toMatchObject({ code: 0 });
    }
    await fs.rm(socket);
    const restore = ["start", "--checkpoint", `of-${id}`, id];
    expect(await lighter(daemon, restore)).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("hint: the unix socket outside must be there again, at the path that it had"),
    });
    await using other = await Listener.start(["unix", socket, "dgram"], file);
    const saved = (await other.heard()).length;
    await lighterOk(daemon, restore);
    await waitFor("it to go on", async () => (await other.heard()).length > saved + 5);
    await lighterOk(daemon, ["rm", "-f", id]);
  });
});
