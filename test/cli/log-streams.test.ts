import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { readLogTimes } from "../../src/lib/output-log/index.ts";
import {
  busyboxImage,
  type Daemon,
  findProcesses,
  type RuntimeName,
  run,
  sharedDaemon,
  waitFor,
} from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
const apart = ["--log-opt", "streams=apart"];

const logs = (daemon: Daemon, ...words: readonly string[]): ReturnType<typeof lighter> =>
  lighter(daemon, ["logs", ...words]);

/** What a person sees who looks at both outputs in one terminal. */
async function both(daemon: Daemon, words: string): Promise<string> {
  return (await run(["sh", "-c", `"${program}" ${words} 2>&1`], { env: environment(daemon) })).stdout;
}

describe.each(runtimes)("a log whose streams are apart, on %s", (runtime) => {
  const shared = sharedDaemon({ runtime });

  shared.test("tells which line came on which, over deaths and starts", async (daemon) => {
    const script = "echo a; sleep 0.2; echo b >&2; sleep 0.2; echo c; echo d; sleep 0.2; echo e >&2; sleep 0.2; echo f";
    await lighterOk(daemon, ["run", "-d", "--name", "two", ...apart, busyboxImage, "sh", "-c", script]);
    const hosts = (await findProcesses(daemon.state)).filter((line) => line.includes("host.sock"));
    await daemon.kill();
    for (const line of hosts) process.kill(Number.parseInt(line, 10), "SIGKILL");
    await daemon.start();
    await lighterOk(daemon, ["wait", "two"]);
    expect(await logs(daemon, "two")).toMatchObject({ stdout: "a\nc\nd\nf\n", stderr: "b\ne\n" });
    expect((await logs(daemon, "--stream", "stderr", "two")).stderr).toBe("b\ne\n");
    expect(await logs(daemon, "--stream", "stdout", "-n", "1", "two")).toMatchObject({ stdout: "f\n", stderr: "" });
    const named = await logs(daemon, "--names", "-t", "two");
    expect(named.stdout.replaceAll(/^\S+Z /gm, "")).toBe("stdout a\nstdout c\nstdout d\nstdout f\n");
    expect(named.stderr.replaceAll(/^\S+Z /gm, "")).toBe("stderr b\nstderr e\n");
    await lighterOk(daemon, ["start", "two"]);
    await lighterOk(daemon, ["wait", "two"]);
    expect((await logs(daemon, "two")).stderr).toBe("b\ne\nb\ne\n");
    const log = (await lighterOk(daemon, ["logs", "--path", "two"])).trim();
    await lighterOk(daemon, ["rm", "two"]);
    expect(await fs.readdir(path.dirname(log))).toEqual([]);
  });

  shared.test("shows both in the order in which they came, the last of both, and what comes", async (daemon) => {
    const go = path.join(daemon.workspace.folder, `go-${runtime}`);
    expect(await Bun.spawn(["mkfifo", go]).exited).toBe(0);
    // Open all the time: between two writers a reader would see an end.
    await using gate = await fs.open(go, "r+");
    const script =
      "exec 3</go; w() { read x <&3; }; echo 1; w; echo 2 >&2; w; echo 3; w; echo 4 >&2; w; echo 5; echo 6 >&2";
    const words = ["-v", `${go}:/go`, busyboxImage, "sh", "-c", script];
    await lighterOk(daemon, ["run", "-d", "--name", "more", ...apart, ...words]);
    const log = (await lighterOk(daemon, ["logs", "--path", "more"])).trim();
    const following = logs(daemon, "-f", "more");
    for (let line = 1; line <= 4; line++) {
      const [file, lines] = line % 2 === 1 ? [log, (line + 1) / 2] : [`${log}.stderr`, line / 2];
      // Each is noted before the next one comes.
      await waitFor(`line ${line}`, () => readLogTimes(file)?.ends.at(-1) === 2 * lines);
      if (line === 4) {
        expect(await both(daemon, "logs --names more")).toBe("stdout 1\nstderr 2\nstdout 3\nstderr 4\n");
        expect(await both(daemon, "logs -n 3 more")).toBe("2\n3\n4\n");
        expect(await logs(daemon, "-n", "1", "more")).toMatchObject({ stdout: "", stderr: "4\n" });
      }
      await gate.write("\n");
    }
    expect(await following).toMatchObject({ stdout: "1\n3\n5\n", stderr: "2\n4\n6\n" });
    await lighterOk(daemon, ["rm", "more"]);
  });

  shared.test(
    "keeps what runs attached and what is restarted apart, and says where streams are not",
    async (daemon) => {
      const here = ["run", "--name", "here", ...apart, busyboxImage, "sh", "-c", "echo out; echo err >&2"];
      expect(await lighter(daemon, here)).toMatchObject({ stdout: "out\n", stderr: "err\n" });
      expect(await logs(daemon, "here")).toMatchObject({ stdout: "out\n", stderr: "err\n" });
      const again = ["run", "-d", "--name", "again", "--restart", "on-failure:1", ...apart, busyboxImage];
      await lighterOk(daemon, [...again, "sh", "-c", "echo out; echo err >&2; exit 1"]);
      await waitFor("a restart", async () => (await logs(daemon, "again")).stderr === "err\nerr\n");
      expect((await logs(daemon, "again")).stdout).toBe("out\nout\n");
      await lighterOk(daemon, ["run", "--name", "one", busyboxImage, "sh", "-c", "echo x"]);
      expect((await logs(daemon, "--names", "one")).stderr).toContain("hint: lighter run --log-opt streams=apart");
      await lighterOk(daemon, ["rm", "-f", "here", "again", "one"]);
    },
  );
});
