import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, type Daemon, run, sharedDaemon, waitFor } from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

type Row = Readonly<Record<string, unknown>>;

async function rowsOf(daemon: Daemon, args: readonly string[]): Promise<readonly Row[]> {
  return JSON.parse(await lighterOk(daemon, [...args, "--json"])) as Row[];
}

describe("the lighter command", () => {
  const shared = sharedDaemon();

  shared.test("looks after a container in the background from its run to its removal", async (daemon) => {
    const script = "echo one; echo two >&2; trap 'echo bye; exit 5' TERM; while :; do sleep 0.05; done";
    const words = ["run", "-d", "--name", "web", "-l", "role=web", busyboxImage, "sh", "-c", script];
    expect(await lighter(daemon, words)).toEqual({ code: 0, stdout: "web\n", stderr: "" });
    expect(await lighter(daemon, words)).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("hint: take another --name"),
    });
    await waitFor("the log", async () => (await lighterOk(daemon, ["logs", "web"])) === "one\ntwo\n");
    expect(await lighterOk(daemon, ["logs", "--tail", "1", "we"])).toBe("two\n");
    expect(await lighterOk(daemon, ["ps"])).toMatch(
      /^web +lighter\.test\/busybox:1 +sh -c .* Up (less than a second|\d+ seconds?) +\d+$/m,
    );

    expect(await lighter(daemon, ["exec", "-e", "A=1", "web", "sh", "-c", "echo $A; exit 3"])).toMatchObject({
      code: 3,
      stdout: "1\n",
    });
    expect(
      await lighterOk(daemon, ["exec", "--cwd", "/etc", "--user", "sailor", "web", "sh", "-c", "pwd; id -un"]),
    ).toBe("/etc\nsailor\n");
    expect(await lighterOk(daemon, ["exec", "-i", "web", "cat"], "piped")).toBe("piped");
    await lighterOk(daemon, ["exec", "-d", "web", "sh", "-c", "echo x > /tmp/x"]);
    await waitFor(
      "the detached exec",
      async () => (await lighter(daemon, ["exec", "web", "cat", "/tmp/x"])).stdout === "x\n",
    );
    expect((await lighter(daemon, ["exec", "web", "nosuch"])).code).toBe(127);
    expect((await lighter(daemon, ["exec", "web", "/etc/passwd"])).code).toBe(126);

    expect(await lighterOk(daemon, ["pause", "web"])).toBe("web\n");
    expect(await lighterOk(daemon, ["ps"])).toContain("(Paused)");
    expect(await lighter(daemon, ["exec", "web", "true"])).toMatchObject({
      code: 125,
      stderr: 'lighter: container "web" is paused\nhint: lighter resume web lets it go on\n',
    });
    expect((await lighter(daemon, ["pause", "web"])).stderr).toContain("web: cannot pause");
    expect(await lighterOk(daemon, ["resume", "web"])).toBe("web\n");

    expect(await lighterOk(daemon, ["top", "web"])).toContain("sh -c echo one");
    expect(await lighterOk(daemon, ["stats", "--no-stream"])).toMatch(/^CONTAINER ID +CPU +MEMORY[^]*\nweb /);
    expect((await lighter(daemon, ["rm", "web"])).stderr).toBe(
      'lighter: container "web" runs\nhint: stop it first, or remove it with lighter rm -f web\n',
    );
    expect(await lighterOk(daemon, ["stop", "web"])).toBe("web\n");
    expect(await lighterOk(daemon, ["wait", "web"])).toBe("5\n");
    expect(await lighterOk(daemon, ["logs", "web"])).toBe("one\ntwo\nbye\n");
    expect(await lighterOk(daemon, ["ps", "-a"])).toMatch(/Exited \(5\) .* ago/);
    expect(await lighter(daemon, ["exec", "web", "true"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("is not running\nhint: lighter start web"),
    });

    await lighterOk(daemon, ["start", "web"]);
    const followed = lighter(daemon, ["logs", "-f", "-n", "0", "web"]);
    await waitFor("its second life", async () => (await lighterOk(daemon, ["logs", "web"])).endsWith("one\ntwo\n"));
    expect(await lighterOk(daemon, ["stop", "-t", "10", "web"])).toBe("web\n");
    expect((await followed).stdout).toEndWith("bye\n");
    expect(await lighter(daemon, ["rm", "web", "nosuch"])).toMatchObject({
      code: 1,
      stdout: "web\n",
      stderr: expect.stringContaining('container "nosuch": not found'),
    });
  });

  shared.test("filters what it lists, and kills what does not stop", async (daemon) => {
    await lighterOk(daemon, [
      "run",
      "-d",
      "--name",
      "stubborn",
      "-l",
      "k=v",
      busyboxImage,
      "sh",
      "-c",
      "trap '' TERM; while :; do sleep 1; done",
    ]);
    expect((await lighter(daemon, ["run", "--name", "done", busyboxImage, "sh", "-c", "exit 3"])).code).toBe(3);
    expect(
      (await rowsOf(daemon, ["ps", "-a"])).map(({ id, state, exitStatus }) => ({ id, state, exitStatus })),
    ).toEqual([
      { id: "done", state: "exited", exitStatus: 3 },
      { id: "stubborn", state: "running", exitStatus: undefined },
    ]);
    expect(await lighterOk(daemon, ["ps", "-q"])).toBe("stubborn\n");
    expect(await lighterOk(daemon, ["ps", "-q", "--filter", "status=exited"])).toBe("done\n");
    expect(await lighterOk(daemon, ["ps", "-aq", "--filter", "label=k=v"])).toBe("stubborn\n");
    expect((await lighter(daemon, ["ps", "--filter", "x=y"])).stderr).toContain("hint: use id, name");
    expect(await lighterOk(daemon, ["logs", "done"])).toBe("");
    expect((await lighter(daemon, ["kill", "-s", "NOPE", "stubborn"])).stderr).toContain('"NOPE" is no signal');
    await lighterOk(daemon, ["stop", "-t", "0", "stubborn"]);
    expect(await lighterOk(daemon, ["wait", "stubborn"])).toBe("137\n");
    expect((await lighterOk(daemon, ["rm", "done", "stubborn"])).split("\n").sort()).toEqual(["", "done", "stubborn"]);
  });

  shared.test("tells of events as they come", async (daemon) => {
    const env = { ...process.env, ...environment(daemon) };
    const child = Bun.spawn([program, "events", "--json", "-f", "topic==/tasks/exit"], {
      env,
      stdout: "pipe",
      stderr: "pipe",
    });
    const reader = child.stdout.getReader();
    const first = reader.read();
    let told = false;
    void first.then(() => (told = true));
    await waitFor("an event", async () => {
      await lighter(daemon, ["run", "--rm", busyboxImage, "sh", "-c", "exit 4"]);
      return told;
    });
    const [line = ""] = new TextDecoder().decode((await first).value).split("\n");
    expect(JSON.parse(line)).toMatchObject({
      namespace: daemon.namespace,
      topic: "/tasks/exit",
      event: { exitStatus: 4, exitedAt: expect.stringMatching(/^\d{4}-/) },
    });
    child.kill("SIGINT");
    await child.exited;
  });

  shared.test("keeps images and namespaces", async (daemon) => {
    const root = path.join(daemon.workspace.folder, "root-of-image");
    await fs.mkdir(path.join(root, "bin"), { recursive: true });
    await fs.copyFile("/bin/busybox", path.join(root, "bin/busybox"));
    const words = [
      "image",
      "from-rootfs",
      root,
      "mybox",
      "--entrypoint",
      "/bin/busybox",
      "--cmd",
      "echo",
      "--cmd",
      "hello",
      "-e",
      "X=1",
    ];
    expect(await lighterOk(daemon, words)).toMatch(/^docker\.io\/library\/mybox:latest {2}sha256:[0-9a-f]{64}\n$/);
    expect(await lighterOk(daemon, ["run", "--rm", "mybox"])).toBe("hello\n");
    expect(await lighterOk(daemon, ["image", "tag", "mybox", "other:2"])).toBe("docker.io/library/other:2\n");
    expect(await lighterOk(daemon, ["image", "ls"])).toMatch(
      /^docker\.io\/library\/other:2 +sha256:\w{12} +linux\/\w+ +[\d.]+ \w+ +.* ago$/m,
    );
    const [inspected] = JSON.parse(await lighterOk(daemon, ["image", "inspect", "mybox"])) as {
      config: { config: { Env: string[] } };
    }[];
    expect(inspected?.config.config.Env).toContain("X=1");
    expect(await lighterOk(daemon, ["rmi", "mybox", "other:2"])).toContain("mybox:latest\n");
    expect(await lighterOk(daemon, ["image", "ls", "-q"])).toBe(`${busyboxImage}\n`);

    const name = `${daemon.namespace}-second`;
    await lighterOk(daemon, ["ns", "create", name, "-l", "a=b"]);
    expect(await lighterOk(daemon, ["ns", "ls"])).toMatch(new RegExp(`^${name} +a=b$`, "m"));
    expect(await lighterOk(daemon, ["-n", name, "ps", "-aq"])).toBe("");
    await lighterOk(daemon, ["ns", "rm", name]);
    expect((await lighter(daemon, ["ns", "rm", daemon.namespace])).stderr).toMatch(
      /must be empty.*\nhint: remove what is in it first/,
    );
  });

  shared.test("says what to do when the daemon cannot be reached", async (daemon) => {
    const gone = await lighter(daemon, ["-a", "/no/such.sock", "ps"]);
    expect(gone).toMatchObject({ code: 1, stderr: expect.stringMatching(/no such socket.*\nhint: start the daemon/) });
    expect((await lighter(daemon, ["-a", "/no/such.sock", "run", busyboxImage])).code).toBe(125);
    const doctor = await lighter(daemon, ["-a", "/no/such.sock", "doctor"]);
    expect(doctor).toMatchObject({
      code: 1,
      stdout: expect.stringMatching(/FAIL +daemon[^]*-> start it with lighterd/),
    });
    // The socket lies in a folder that only root enters.
    const other = [
      "setpriv",
      "--reuid",
      "65534",
      "--regid",
      "65534",
      "--clear-groups",
      program,
      "-a",
      daemon.address,
      "ps",
    ];
    const refused = await run(other, { env: { HOME: "/tmp" } });
    expect(refused.stderr).toMatch(/permission denied.*\nhint: the socket belongs to root: use sudo/);
    expect((await lighter(daemon, ["-n", "a/b", "ps"])).stderr).toContain('namespace "a/b" is malformed');
    expect((await lighter(daemon, ["-a", "/no/such.sock", "--version"])).stdout).toMatch(/^lighter +\d/);
  });

  shared.test("checks the machine, and tells every check in JSON too", async (daemon) => {
    const result = await lighter(daemon, ["doctor", "--json"]);
    const checks = JSON.parse(result.stdout) as { name: string; result: string; advice?: string }[];
    expect(checks.map(({ name }) => name)).toEqual([
      "kernel",
      "cgroups",
      "overlayfs",
      "namespaces",
      "rights",
      "runtime",
      "criu",
      "daemon",
      "snapshotters",
    ]);
    for (const check of checks) if (check.result !== "ok") expect(check.advice).toMatch(/\w+/);
    expect(await lighterOk(daemon, ["version"])).toContain(`at ${daemon.address}`);
  });

  shared.test("completes words in bash, also names with colons", async (daemon) => {
    await lighterOk(daemon, ["run", "-d", "--name", "webby", busyboxImage, "sleep", "100"]);
    // What bash would have split, by the characters at which it breaks words.
    const script = `source <("$L" completion bash)
      try() { COMP_LINE="$L $1"; COMP_POINT=\${#COMP_LINE}; COMP_WORDS=("$L" "\${@:2}"); COMP_CWORD=$((\${#COMP_WORDS[@]} - 1)); _lighter; echo "\${COMPREPLY[*]}"; }
      try "exec we" exec we; try "image rm ${busyboxImage.slice(0, -1)}" image rm lighter.test/busybox ":"; try "run --net=h" run --net "=" h
      try "image import /etc/passw" image import /etc/passw; try "kill -s US" kill -s US; try "stop webby " stop webby ""; try "ima" ima; try "run --rea" run --rea`;
    // Under a name that needs no quotes, wherever the checkout lies.
    const name = path.join(daemon.workspace.folder, "lighter");
    await fs.symlink(program, name);
    const { stdout, stderr } = await run(["bash", "-c", script], { env: { ...environment(daemon), L: name } });
    expect(stderr).toBe("");
    expect(stdout.split("\n").slice(0, 3)).toEqual(["webby", "1", "host"]);
    expect(stdout).toMatch(/\n\/etc\/passwd[^\n]*\nUSR1 USR2\n\nimage\n--read-only\n$/);
    await lighterOk(daemon, ["rm", "-f", "webby"]);
  });
});
