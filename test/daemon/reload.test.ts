import { describe, expect } from "bun:test";
import { spawn } from "node:child_process";
import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { lighterOk } from "../cli/support.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  importBusybox,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";
import { openManagerSocket } from "./manager-socket.ts";

const lighter = resolve(import.meta.dir, "../../bin/lighter");

/** Writes the daemon's configuration anew and has it read. Answers with what the log says from then on, when `until` is in it. */
async function reload(daemon: Daemon, toml: string, until: string): Promise<string> {
  const before = (await daemon.logs()).length;
  await writeFile(join(daemon.workspace.folder, "config.toml"), `version = 3\n${toml}`);
  process.kill(daemon.pid, "SIGHUP");
  return waitFor(`"${until}" in the log`, async () => {
    const log = (await daemon.logs()).slice(before);
    return log.includes(until) && log.endsWith("\n") ? log : undefined;
  });
}

/** What Introspection shows of the collector's settings. */
async function pauseThreshold(daemon: Daemon): Promise<string> {
  const shown = await daemon.ctrOk(["plugins", "ls", "-d", "id==scheduler"]);
  return /PauseThreshold\s+(\S+)/.exec(shown)?.[1] ?? "";
}

const nextStart = "takes effect at the next start";
const gc = (threshold: string): string => `[plugins."io.containerd.gc.v1.scheduler"]\npause_threshold = ${threshold}\n`;

describe("SIGHUP", () => {
  testNeeding(
    ["root", "ctr"],
    "changes what may change in one step, tells each change, and what waits for a start",
    async () => {
      await using daemon = await startLighter({ logLevel: "configured" });
      expect(await pauseThreshold(daemon)).toBe("0.02");
      const log = await reload(
        daemon,
        'oom_score = 7\nstate = "/flag/holds"\n[debug]\nlevel = "debug"\nformat = "json"\nlog_trace_id = true\n' +
          '[proxy_plugins.far]\ntype = "snapshot"\naddress = "/far.sock"\n' +
          '[plugins."io.containerd.shim.v1.manager"]\nenv = ["A=b"]\nsocket_dir = "/run/x"\n' +
          '[plugins."io.containerd.service.v1.tasks-service"]\nrdt_config_fiel = ""\n' +
          gc("0.25"),
        '"key":"plugins.\\"io.containerd.gc.v1.scheduler\\".pause_threshold"',
      );
      const [first, ...rest] = log.trimEnd().split("\n");
      expect(first).toMatch(/level=info msg="reading the configuration again" path=\S+config.toml$/);
      const warning = rest.shift();
      expect(warning).toMatch(
        /level=warning msg=".*config.toml:15: unknown key .*rdt_config_fiel is ignored; did you mean/,
      );
      const lines = rest.map((line) => JSON.parse(line) as Record<string, unknown>).filter((line) => "key" in line);
      const told = (of: boolean): unknown[] =>
        lines
          .filter((line) => String(line["msg"]).includes(nextStart) === of)
          .map((line) => [line["key"], line["from"], line["to"]]);
      const manager = 'plugins."io.containerd.shim.v1.manager"';
      expect(told(true)).toEqual([
        ["oom_score", 0, 7],
        ["proxy_plugins.far", undefined, expect.objectContaining({ address: "/far.sock" })],
        [`${manager}.socket_dir`, "", "/run/x"],
      ]);
      expect(told(false)).toEqual([
        ["debug.level", "", "debug"],
        ["debug.format", "text", "json"],
        ["debug.log_trace_id", false, true],
        ['plugins."io.containerd.gc.v1.scheduler".pause_threshold', 0.02, 0.25],
        [`${manager}.env`, [], ["A=b"]],
      ]);
      expect(await pauseThreshold(daemon)).toBe("0.25");
      // Read once more, only what waits for a start is different.
      const again = await reload(
        daemon,
        'oom_score = 7\n[debug]\nlevel = "debug"\n',
        'pause_threshold" from=0.25 to=0.02',
      );
      expect(again).toContain(`${nextStart}" key=oom_score from=0 to=7`);
      expect(again).toContain('msg="a setting has changed" key=debug.format from=json to=text');
      expect(again).not.toContain("debug.level");
    },
  );

  testNeeding(["root", "ctr"], "leaves everything as it was where the new files are wrong, and says why", async () => {
    await using daemon = await startLighter({ logLevel: "configured", config: gc("0.1") });
    const good = `[debug]\nlevel = "debug"\n${gc("0.2")}`;
    const broken = [
      [`${good}schedule_delay = "soon"\n`, /config.toml:6: plugins.*schedule_delay: expected a duration/],
      [`${good}oops`, /config.toml:6:\d+: /],
      [`imports = ["gone.toml"]\n${good}`, /config.toml: imports: read .*gone.toml: ENOENT/],
      [`root = 5\n${good}`, /config.toml:2: root: expected a string, got the number 5; for example root = /],
    ] as const;
    for (const [toml, why] of broken) {
      const log = await reload(daemon, toml, "config.toml:");
      expect(log).toMatch(/level=error msg="the new configuration cannot be used, the settings stay as they are"/);
      expect(await waitFor("the reason", async () => why.test(await daemon.logs()))).toBe(true);
      expect(log).not.toContain("a setting has changed");
      expect(await pauseThreshold(daemon)).toBe("0.1");
    }
    await rm(join(daemon.workspace.folder, "config.toml"));
    process.kill(daemon.pid, "SIGHUP");
    await waitFor("the missing file", async () => (await daemon.logs()).includes("config.toml: ENOENT"));
    expect(await daemon.logs()).not.toContain("level=debug");
    await reload(daemon, good, 'key="plugins.\\"io.containerd.gc.v1.scheduler\\".pause_threshold" from=0.1 to=0.2');
    expect(await pauseThreshold(daemon)).toBe("0.2");
  });

  testNeeding(["root", "ctr"], "many times at once is as good as once; a flag's level holds", async () => {
    await using daemon = await startLighter({ logLevel: "info" });
    await reload(daemon, '[debug]\nlevel = "debug"\n', "the flag --log-level holds");
    for (let signal = 0; signal < 50; signal++) process.kill(daemon.pid, "SIGHUP");
    await waitFor("an answer", async () => (await daemon.logs()).includes("no setting has changed"));
    const log = await reload(daemon, `[debug]\nlevel = "debug"\n${gc("0.3")}`, "from=0.02 to=0.3");
    expect(log).not.toContain("level=debug");
    expect(await pauseThreshold(daemon)).toBe("0.3");
  });

  testNeeding(["root", "ctr"], "is told to a service manager from its beginning to its end", async () => {
    await using workspace = await createWorkspace();
    await using manager = await openManagerSocket(join(workspace.folder, "notify"));
    await using daemon = await startLighter({ env: { NOTIFY_SOCKET: manager.path } });
    const ready = await manager.until("READY=1");
    await reload(daemon, gc("0.3"), "from=0.02 to=0.3");
    const reloading = await manager.until("RELOADING=1;MONOTONIC_USEC=", ready + 1);
    await manager.until("READY=1;STATUS=serving", reloading + 1);
  });

  testNeeding(["root", "ctr"], "changes where registries' hosts are looked up", async () => {
    let asked = 0;
    using registry = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: () => {
        asked++;
        return new Response(null, { status: 404 });
      },
    });
    await using daemon = await startLighter();
    const { folder } = daemon.workspace;
    await mkdir(join(folder, "hosts/registry.invalid"), { recursive: true });
    await writeFile(
      join(folder, "hosts/registry.invalid/hosts.toml"),
      `[host."http://127.0.0.1:${registry.port}"]\ncapabilities = ["pull", "resolve"]\n`,
    );
    const pull = async (): Promise<number> => {
      const child = spawn(lighter, ["--address", daemon.address, "pull", "registry.invalid/a/b:1"], {
        stdio: "ignore",
      });
      return await new Promise<number>((done) => child.once("exit", (code) => done(code ?? -1)));
    };
    expect(await pull()).not.toBe(0);
    expect(asked).toBe(0);
    await reload(
      daemon,
      `[plugins."io.containerd.transfer.v1.local"]\nconfig_path = "${folder}/hosts"\n`,
      'config_path" from="" to=',
    );
    expect(await pull()).not.toBe(0);
    expect(asked).toBeGreaterThan(0);
  });

  testNeeding(
    ["root", "ctr", "runc", "busybox"],
    "changes the runtime of the hosts that are started from then on",
    async () => {
      await using daemon = await startLighter();
      await importBusybox(daemon);
      const { folder } = daemon.workspace;
      const runtime = join(folder, "my-runtime");
      await writeFile(runtime, `#!/bin/sh\necho "$@" >> ${folder}/runtime.calls\nexec runc "$@"\n`);
      await chmod(runtime, 0o755);
      await reload(
        daemon,
        `[plugins."io.containerd.shim.v1.manager"]\nruntime_binary = "${runtime}"\n`,
        "runtime_binary",
      );
      expect(await lighterOk(daemon, ["run", "--rm", busyboxImage, "echo", "here"])).toBe("here\n");
      expect(await Bun.file(`${folder}/runtime.calls`).text()).toContain("create");
    },
  );
});
