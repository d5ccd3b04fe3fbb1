import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { timesPathOf } from "../../src/lib/output-log/index.ts";
import { busyboxImage, type Daemon, findProcesses, runInTerminal, sharedDaemon, waitFor } from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

const stamp = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z) (.*)$/;

/** Times and words of what `logs -t` printed. */
function stamped(text: string): readonly (readonly [number, string])[] {
  return text
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => {
      const [, time = "", words = ""] = stamp.exec(line) ?? [];
      return [Date.parse(time), words] as const;
    });
}

const logs = (daemon: Daemon, ...words: readonly string[]): Promise<string> => lighterOk(daemon, ["logs", ...words]);

describe("lighter logs", () => {
  const shared = sharedDaemon();

  shared.test("tells when each line came, and shows what came between two moments", async (daemon) => {
    const before = Date.now();
    const script = "echo one; sleep 0.3; echo two >&2; sleep 0.3; echo three";
    await lighterOk(daemon, ["run", "-d", "--name", "timed", busyboxImage, "sh", "-c", script]);
    await lighterOk(daemon, ["wait", "timed"]);
    const lines = stamped(await logs(daemon, "-t", "timed"));
    expect(lines.map(([, words]) => words)).toEqual(["one", "two", "three"]);
    const [one = 0, two = 0, three = 0] = lines.map(([time]) => time);
    expect(before <= one && one + 200 < two && two + 200 < three && three <= Date.now()).toBe(true);
    const at = (ms: number): string => new Date(ms).toISOString();
    expect(await logs(daemon, "--since", at(two), "timed")).toBe("two\nthree\n");
    expect(await logs(daemon, "--since", at(two + 1), "timed")).toBe("three\n");
    expect(await logs(daemon, "--until", at(two), "timed")).toBe("one\ntwo\n");
    expect(await logs(daemon, "--until", String((two - 1) / 1000), "timed")).toBe("one\n");
    expect(await logs(daemon, "--since", at(two), "--until", at(two), "-n", "5", "timed")).toBe("two\n");
    expect(await logs(daemon, "--since", "1h", "-n", "1", "timed")).toBe("three\n");
    expect(await logs(daemon, "--until", "1h", "timed")).toBe("");
    expect(await lighter(daemon, ["logs", "--since", "soon", "timed"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("hint: write it as 10m"),
    });
    const log = (await logs(daemon, "--path", "timed")).trim();
    await fs.rm(timesPathOf(log));
    expect(await logs(daemon, "-n", "2", "timed")).toBe("two\nthree\n");
    expect((await lighter(daemon, ["logs", "-t", "timed"])).stderr).toContain("nobody noted when the output");
    await lighterOk(daemon, ["rm", "timed"]);
    expect(await fs.readdir(path.dirname(log))).toEqual([]);
  });

  shared.test("keeps what an attached container prints, with and without a terminal", async (daemon) => {
    const script = "echo out; echo err >&2; echo end";
    const ran = await lighter(daemon, ["run", "--name", "here", busyboxImage, "sh", "-c", script]);
    expect(ran).toMatchObject({ stdout: "out\nend\n", stderr: "err\n" });
    expect((await logs(daemon, "here")).split("\n").sort()).toEqual(["", "end", "err", "out"]);
    expect(stamped(await logs(daemon, "-t", "here")).every(([time]) => time > 0)).toBe(true);
    const again = await lighter(daemon, ["start", "-a", "here"]);
    expect(again.stdout).toBe("out\nend\n");
    expect((await logs(daemon, "here")).match(/out/g)?.length).toBe(2);
    const session = runInTerminal([program, "run", "-it", "--name", "term", busyboxImage, "sh", "-c", "tty; echo x"], {
      env: environment(daemon),
    });
    expect(await session.exited).toBe(0);
    expect(await logs(daemon, "term")).toBe("/dev/pts/0\r\nx\r\n");
    expect(
      (await lighter(daemon, ["run", "--name", "quiet", "--log-driver", "none", busyboxImage, "echo", "x"])).stdout,
    ).toBe("x\n");
    expect((await lighter(daemon, ["logs", "quiet"])).stderr).toContain("hint: it was run with --log-driver none");
    expect((await lighter(daemon, ["run", "--log-opt", "mode=x", busyboxImage])).stderr).toContain(
      "hint: max-size=10m",
    );
    await lighterOk(daemon, ["rm", "here", "term", "quiet"]);
  });

  shared.test("keeps a log within its bound while it is written, and follows it", async (daemon) => {
    const script = 'i=0; while [ $i -lt 60000 ]; do i=$((i+1)); echo "line $i of a log that grows"; done';
    await lighterOk(daemon, [
      "run",
      "-d",
      "--name",
      "big",
      "--log-opt",
      "max-size=256k",
      busyboxImage,
      "sh",
      "-c",
      script,
    ]);
    const followed = await logs(daemon, "-f", "big");
    expect(followed).toEndWith("line 60000 of a log that grows\n");
    const kept = await logs(daemon, "big");
    expect(kept).toMatch(/^line \d+ of a log that grows\n/);
    expect(kept.length).toBeGreaterThanOrEqual(256 * 1024 - 4096);
    const { size, blocks } = await fs.stat((await logs(daemon, "--path", "big")).trim());
    expect(size).toBeGreaterThan(1_500_000);
    expect(blocks * 512).toBeLessThan(400 * 1024);
    expect(await logs(daemon, "-n", "2", "big")).toBe(
      "line 59999 of a log that grows\nline 60000 of a log that grows\n",
    );
    await lighterOk(daemon, ["rm", "big"]);
  });

  shared.test("loses nothing when daemon and shim host are killed", async (daemon) => {
    const script = 'i=0; while [ $i -lt 120 ]; do i=$((i+1)); echo "$i"; sleep 0.02; done';
    await lighterOk(daemon, ["run", "-d", "--name", "hardy", busyboxImage, "sh", "-c", script]);
    await waitFor("its first lines", async () => (await logs(daemon, "hardy")).includes("\n3\n"));
    const hosts = (await findProcesses(daemon.state)).filter((line) => line.includes("host.sock"));
    await daemon.kill();
    for (const line of hosts) process.kill(Number.parseInt(line, 10), "SIGKILL");
    await daemon.start();
    await lighterOk(daemon, ["wait", "hardy"]);
    const lines = stamped(await logs(daemon, "-t", "hardy"));
    expect(lines.map(([, words]) => words)).toEqual(Array.from({ length: 120 }, (_, n) => String(n + 1)));
    const times = lines.map(([time]) => time);
    expect(times.every((time, n) => time >= (times[n - 1] ?? 1))).toBe(true);
    await lighterOk(daemon, ["rm", "hardy"]);
  });

  shared.test(
    "goes on for a container that was left, which does not come to a stop, until somebody comes back",
    async (daemon) => {
      const script =
        'echo ready; read x; i=0; while [ $i -lt 20000 ]; do i=$((i+1)); echo "number $i"; done; echo enough; read x; echo "$x"';
      const run = (words: readonly string[]): ReturnType<typeof runInTerminal> =>
        runInTerminal([program, ...words], { env: environment(daemon) });
      const first = run(["run", "-it", "--name", "left", busyboxImage, "sh", "-c", script]);
      await waitFor("the container", () => first.output().includes("ready"));
      const second = await lighter(daemon, ["attach", "left"]);
      expect(second).toMatchObject({ code: 125, stderr: expect.stringContaining("hint: lighter logs -f left") });
      first.type("go\n\x10\x11");
      expect(await first.exited).toBe(0);
      await waitFor("all it prints", async () => (await logs(daemon, "-n", "1", "left")) === "enough\r\n");
      const back = run(["attach", "left"]);
      back.type("word\n");
      expect(await back.exited).toBe(0);
      const text = await logs(daemon, "left");
      expect(text).toEndWith("\r\nword\r\n");
      expect([...(text.match(/number \d+/g) ?? [])]).toEqual(
        Array.from({ length: 20000 }, (_, n) => `number ${n + 1}`),
      );
      await lighterOk(daemon, ["rm", "left"]);
    },
  );
});
