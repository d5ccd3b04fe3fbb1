import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, run, sharedDaemon, waitFor, writeBusyboxRootfs } from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

describe("lighter run", () => {
  const shared = sharedDaemon();

  shared.test("prints the container's output and ends with its code", async (daemon) => {
    const result = await lighter(daemon, ["run", "--rm", busyboxImage, "sh", "-c", "echo out; echo err >&2; exit 7"]);
    expect(result).toEqual({ code: 7, stdout: "out\n", stderr: "err\n" });
    expect((await lighter(daemon, ["ps", "-aq"])).stdout).toBe("");
  });

  shared.test("passes standard input on to its end, and loses no output of who ends at once", async (daemon) => {
    const input = "x".repeat(300_000);
    const [echoed, large] = await Promise.all([
      lighter(daemon, ["run", "--rm", "-i", busyboxImage, "cat"], { input }),
      lighter(daemon, ["run", "--rm", busyboxImage, "sh", "-c", "head -c 3000000 /dev/zero"]),
    ]);
    expect({ code: echoed.code, same: echoed.stdout === input }).toEqual({ code: 0, same: true });
    expect(large.stdout.length).toBe(3_000_000);
  });

  shared.test("shapes the container as its options say", async (daemon) => {
    const file = path.join(daemon.workspace.folder, "env");
    await fs.writeFile(file, "# a comment\nA=file\nB=file\nSHELL_ONLY\n");
    const script = [
      "echo $A $B $C $SHELL_ONLY",
      "pwd; id -u; id -g; hostname",
      "touch /no 2>/dev/null || echo read-only",
      "cat /host; (echo x > /host) 2>/dev/null || echo kept",
      "df -k /scratch | tail -1 | awk '{print $2}'",
      "ip -o link | wc -l",
      "grep CapEff /proc/self/status | awk '{print $2}'",
      "grep -E ':(memory|pids|cpu,cpuacct|cpu):|^0::' /proc/self/cgroup | wc -l",
    ].join("\n");
    const flags =
      `--env-file ${file} -e B=flag --env C=c --cwd /etc --user sailor --hostname boat --read-only --net none
      --cap-drop ALL --mount type=bind,src=${file},dst=/host,ro --tmpfs /scratch:size=1m --cpus 0.5 --memory 64m
      --pids-limit 20`.split(/\s+/);
    const words = ["run", "--rm", ...flags, busyboxImage, "--", "sh", "-c", script];
    const result = await lighter(daemon, words, { env: { SHELL_ONLY: "shell" } });
    expect(result.stderr).toBe("");
    const lines = result.stdout.split("\n");
    expect(lines.slice(0, 6)).toEqual(["file flag c shell", "/etc", "1000", "1000", "boat", "read-only"]);
    expect(result.stdout).toContain("SHELL_ONLY\nkept\n1024\n1\n0000000000000000\n");
  });

  shared.test("sets the limits that it was given", async (daemon) => {
    const id = shared.newId();
    await lighterOk(daemon, [
      "run",
      "-d",
      "--name",
      id,
      "--memory",
      "64m",
      "--pids-limit",
      "20",
      busyboxImage,
      "sleep",
      "100",
    ]);
    const [row] = JSON.parse(await lighterOk(daemon, ["stats", "--no-stream", "--json", id])) as Record<
      string,
      unknown
    >[];
    expect(row).toMatchObject({ id, memoryLimit: 64 * 1024 ** 2, pidsLimit: 20, pids: 1 });
    const [spec] = JSON.parse(await lighterOk(daemon, ["inspect", id])) as { spec: { process: { args: string[] } } }[];
    expect(spec?.spec.process.args).toEqual(["sleep", "100"]);
    await lighterOk(daemon, ["rm", "-f", id]);
  });

  shared.test("takes a folder as its root, the host's network, and either runtime", async (daemon) => {
    const rootfs = await writeBusyboxRootfs(path.join(daemon.workspace.folder, "rootfs"));
    const [folder, host, crun, runc] = await Promise.all([
      lighterOk(daemon, ["run", "--rm", "--rootfs", rootfs, "sh", "-c", "cat /etc/passwd | head -1"]),
      lighterOk(daemon, ["run", "--rm", "--net", "host", busyboxImage, "sh", "-c", "ip -o link | wc -l"]),
      lighterOk(daemon, ["run", "--rm", "--runtime", "crun", busyboxImage, "echo", "crun"]),
      lighterOk(daemon, [
        "run",
        "--rm",
        "--runtime",
        "runc",
        "--privileged",
        busyboxImage,
        "sh",
        "-c",
        "mount -t tmpfs x /tmp && echo runc",
      ]),
    ]);
    expect([folder, crun, runc]).toEqual(["root:x:0:0:root:/root:/bin/sh\n", "crun\n", "runc\n"]);
    const links = (await fs.readdir("/sys/class/net")).length;
    expect(Number(host)).toBeGreaterThanOrEqual(Math.min(links, 1));
  });

  shared.test("ends with 125, 126 and 127 as a shell does, says what to do, and leaves nothing", async (daemon) => {
    const leaking = path.join(daemon.workspace.folder, "leaking");
    const line = `{"level":"error","msg":"the hull is leaking"}`;
    const find = `for word; do [ "$last" = --log ] && echo '${line}' >> "$word"; last=$word; done; exit 1`;
    await fs.writeFile(leaking, `#!/bin/sh\ncase "$*" in *" create "*) ${find} ;; esac\nexec runc "$@"\n`, {
      mode: 0o755,
    });
    const cases: readonly (readonly [number, RegExp, readonly string[]])[] = [
      [125, /^lighter: runtime: the hull is leaking\n$/, ["--name", "x1", "--runtime", leaking, busyboxImage, "true"]],
      [125, /hint: \/etc\/passwd is no program that runs here/, ["--runtime", "/etc/passwd", busyboxImage, "true"]],
      [125, /\/no\/such is not there\nhint: it takes a folder/, ["--rootfs", "/no/such", "true"]],
      [125, /"sea" is not an absolute path.*\nhint: begin it with a slash/, ["-w", "sea", busyboxImage, "true"]],
      [125, /"a b" is malformed\nhint: letters and digits.*at most 76/, ["--name", "a b", busyboxImage, "true"]],
      [125, /it is there already\nhint: remove it/, ["--cidfile", leaking, busyboxImage, "true"]],
      [125, /image "no-such-image": not found\nhint: .*image import/, ["--rm", "--pull", "never", "no-such-image"]],
      [125, /is not here and could not be had: [^]*hint: .*image import/, ["--rm", "127.0.0.1:1/no/such:1"]],
      [127, /not found[^]*hint: the image has no such command/, ["--name", "x1", busyboxImage, "no-such-command"]],
      [126, /hint: the file is there but may not be executed/, ["--name", "x1", busyboxImage, "/etc"]],
      [
        125,
        /hint: the OCI runtime no-such-runtime is not installed/,
        ["--runtime", "no-such-runtime", busyboxImage, "true"],
      ],
      [125, /hint: give it more with --memory/, ["--memory", "1", busyboxImage, "true"]],
      [125, /\/no\/such\/path is not there\nhint: mkdir -p/, ["-v", "/no/such/path:/x", busyboxImage, "true"]],
      [125, /user "eve".*not found\nhint: use a number/, ["--user", "eve", busyboxImage, "true"]],
      [125, /unknown option --nmae\nhint: did you mean --name\?/, ["--nmae", "x", busyboxImage, "true"]],
      [125, /"-1" is not a size\nhint: write it as 512m/, ["--memory=-1", busyboxImage, "true"]],
      [125, /standard input is not a terminal\nhint:/, ["-it", busyboxImage, "sh"]],
    ];
    for (const [code, wanted, words] of cases) {
      const result = await lighter(daemon, ["run", ...words]);
      expect(result.stderr).toMatch(wanted);
      expect({ words, code: result.code, stdout: result.stdout }).toEqual({ words, code, stdout: "" });
    }
    expect(await lighterOk(daemon, ["ps", "-aq"])).toBe("");
    expect(await daemon.ctrOk(["snapshots", "ls"])).not.toContain("x1");
    expect(await fs.readdir(path.join(daemon.workspace.folder, "io"))).toEqual([]);
  });

  shared.test("tells of a signal's death by 128 and its number, and passes signals on", async (daemon) => {
    const id = shared.newId();
    const command = [program, "run", "--rm", "--name", id, busyboxImage, "sh", "-c"];
    const options = {
      env: { ...process.env, ...environment(daemon) },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    } as const;
    const child = Bun.spawn(
      [...command, "trap 'echo told; exit 9' TERM; echo ready; while :; do sleep 0.1; done"],
      options,
    );
    await waitFor("the container", async () => (await lighterOk(daemon, ["ps", "-q"])).includes(id));
    await waitFor("its trap", async () => {
      child.kill("SIGTERM");
      return await Promise.race([child.exited.then(() => true), Bun.sleep(300).then(() => false)]);
    });
    expect(await child.exited).toBe(9);
    expect(await child.stdout.text()).toContain("told");
    const dead = lighter(daemon, ["run", "--name", id, busyboxImage, "sleep", "100"]);
    await waitFor("a process to kill", async () => (await lighterOk(daemon, ["ps", "-q"])).includes(id));
    await lighterOk(daemon, ["kill", "-s", "KILL", id]);
    expect((await dead).code).toBe(137);
    await lighterOk(daemon, ["rm", id]);
  });

  shared.test("ends like any filter when nobody reads any more", async (daemon) => {
    const env = { ...environment(daemon), L: program };
    const script = `"$L" run --rm ${busyboxImage} yes | head -1; echo \${PIPESTATUS[0]}; "$L" --help | head -1; echo \${PIPESTATUS[0]}`;
    const { stdout, stderr } = await run(["bash", "-c", script], { env });
    expect(stderr).toBe("");
    expect(stdout.split("\n")).toMatchObject([
      "y",
      "141",
      expect.stringContaining("lighter"),
      expect.stringMatching(/^(0|141)$/),
      "",
    ]);
    expect(await lighterOk(daemon, ["ps", "-aq"])).toBe("");
  });

  shared.test("removes by itself what ran in the background with --rm", async (daemon) => {
    const id = shared.newId();
    expect(await lighterOk(daemon, ["run", "--rm", "-d", "--name", id, busyboxImage, "true"])).toBe(`${id}\n`);
    await waitFor("its removal", async () => (await lighterOk(daemon, ["ps", "-aq"])) === "");
    await waitFor(
      "its log's",
      async () =>
        (await fs.readdir(path.join(environment(daemon)["LIGHTER_DATA"] ?? "", "logs", daemon.namespace))).length === 0,
    );
  });

  // ctr then sends no CloseIO, and under containerd the container mostly waits for ever.
  shared.test("gives an end to input that ended before its client knew of the task", async (daemon) => {
    const words = ["run", "--rm", ...daemon.runtimeFlags, busyboxImage];
    for (let i = 0; i < 3; i++) {
      const result = await daemon.ctr([...words, shared.newId(), "cat"], { input: "x", timeoutMs: 20_000 });
      expect(result).toMatchObject({ code: 0, stdout: "x" });
    }
  });
});
