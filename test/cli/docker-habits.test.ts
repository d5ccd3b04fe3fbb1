import { describe, expect } from "bun:test";
import os from "node:os";
import { busyboxImage, type RuntimeName, runInTerminal, sharedDaemon, waitFor } from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];

describe("what a docker user types", () => {
  const shared = sharedDaemon();

  for (const runtime of runtimes) {
    shared.test(
      `shapes the container: ${runtime}`,
      async (daemon) => {
        const flags = `--runtime ${runtime} -h boat -m 64m --memory-swap 128m --cpus .5 -c 512 --cpuset-cpus 0
          --shm-size 16m --ulimit nofile=100:200 --sysctl net.ipv4.ip_forward=1 --device /dev/null:/dev/nothing:r
          --group-add 77 --security-opt no-new-privileges --security-opt seccomp=unconfined --oom-score-adj 500 --restart no`;
        const script = `hostname; echo $HOSTNAME; df -k /dev/shm | tail -1 | awk '{print $2}'; ulimit -Sn; ulimit -Hn
          cat /proc/sys/net/ipv4/ip_forward; test -c /dev/nothing && echo device; id -G
          awk '/NoNewPrivs|Cpus_allowed_list/ {print $2}' /proc/self/status; cat /proc/self/oom_score_adj`;
        const words = ["run", "--rm", ...flags.split(/\s+/), busyboxImage, "sh", "-c", script];
        const result = await lighter(daemon, words);
        expect(result).toMatchObject({ code: 0, stderr: "" });
        const told = "boat boat 16384 100 200 1 device 0,77 1 0 500".split(" ").join("\n").replace(",", " ");
        expect(result.stdout).toBe(`${told}\n`);
        const hosts = ["--pid", "host", "--uts", "host", "--ipc", "host"];
        const seen = [
          "run",
          "--rm",
          "--runtime",
          runtime,
          ...hosts,
          busyboxImage,
          "sh",
          "-c",
          "hostname; ps | grep -c lighterd",
        ];
        const [name, daemons] = (await lighterOk(daemon, seen)).split("\n");
        expect(name).toBe(os.hostname());
        expect(Number(daemons)).toBeGreaterThan(1);
      },
      { needs: [runtime] },
    );
  }

  shared.test("names a container's host after it", async (daemon) => {
    expect(await lighterOk(daemon, ["run", "--rm", "--name", "mine", busyboxImage, "hostname"])).toBe("mine\n");
  });

  shared.test("makes, starts and restarts containers, and calls commands by docker's names", async (daemon) => {
    const script = "trap 'echo int; exit 9' INT; echo begun; while :; do sleep 0.05; done";
    const words = ["create", "--name", "made", "--stop-signal", "INT", busyboxImage, "sh", "-c", script];
    expect(await lighterOk(daemon, words)).toBe("made\n");
    expect(await lighterOk(daemon, ["container", "ls", "-a"])).toMatch(/^made .* Created/m);
    const begun = (count: number) => (): Promise<boolean> =>
      lighterOk(daemon, ["logs", "made"]).then((text) => text.split("begun").length === count + 1);
    await lighterOk(daemon, ["start", "made"]);
    await waitFor("its first life", begun(1));
    expect(await lighterOk(daemon, ["restart", "made"])).toBe("made\n");
    await waitFor("its second life", begun(2));
    expect(await lighterOk(daemon, ["container", "stop", "made"])).toBe("made\n");
    expect(await lighterOk(daemon, ["logs", "made"])).toBe("begun\nint\nbegun\nint\n");
    await lighterOk(daemon, ["container", "rm", "made"]);
    expect((await lighter(daemon, ["create", "--rm", busyboxImage])).stderr).toContain("unknown option --rm");
  });

  shared.test("comes back to what was run with -dit", async (daemon) => {
    expect(await lighterOk(daemon, ["run", "-dit", "--name", "shell", busyboxImage, "sh"])).toBe("shell\n");
    const session = runInTerminal([program, "attach", "shell"], { env: environment(daemon) });
    session.type("echo a$((1+1))b; exit 3\n");
    expect(await session.exited).toBe(3);
    expect(session.output()).toContain("a2b");
    await lighterOk(daemon, ["rm", "shell"]);
  });

  shared.test("hears what to do in place of what there is not", async (daemon) => {
    const cases: readonly (readonly [string, string])[] = [
      ["run -p 80:80 IMAGE", "hint: lighter makes no networks: --net host"],
      ["run --publish=80:80 IMAGE", "hint: lighter makes no networks: --net host"],
      ["run --network bridge IMAGE", "hint: lighter makes no networks: host shares"],
      ["run --restart sometimes IMAGE", 'policy "sometimes" not supported\nhint: use no, always'],
      ["run --restart always --rm IMAGE", "--restart and --rm can't both be"],
      ["run --gpus all IMAGE", "hint: --device"],
      ["run --device /dev/nope IMAGE", "/dev/nope is not there\nhint:"],
      ["run --device /etc/passwd IMAGE", "is no device\nhint:"],
      ["run --device /dev/null:x:y IMAGE", "is malformed\nhint: write it as"],
      ["run --ulimit files=1 IMAGE", "hint: write it as nofile=1024:2048"],
      ["run --sysctl x IMAGE", "is not KEY=VALUE"],
      ["run --security-opt seccomp=x.json IMAGE", "is not supported\nhint: no-new-privileges"],
      ["run --stop-signal NOPE IMAGE", '"NOPE" is no signal'],
      ["run -v data:/data IMAGE", "give a path, like /srv/data or ./data"],
    ];
    for (const [line, text] of cases) {
      const result = await lighter(daemon, line.replace("IMAGE", busyboxImage).split(" "));
      expect(result, line).toMatchObject({ code: 125, stdout: "", stderr: expect.stringContaining(text) });
    }
    for (const line of ["build .", "compose up", "network ls", "volume ls"]) {
      const result = await lighter(daemon, line.split(" "));
      expect(result.code, line).toBe(2);
      expect(result.stderr, line).toMatch(/is docker's command and not lighter's\nhint: \w/);
    }
    expect(await lighterOk(daemon, ["ps", "-aq"])).toBe("");
  });
});
