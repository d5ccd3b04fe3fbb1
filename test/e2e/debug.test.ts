import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { lighterOk } from "../cli/support.ts";
import {
  busyboxImage,
  createWorkspace,
  type Daemon,
  daemonNeeds,
  importBusybox,
  runOk,
  startDaemon,
  testNeeding,
} from "../support/index.ts";

const get = (daemon: string, at: string): Promise<Response> => fetch(`http://debug${at}`, { unix: daemon });
const textOf = async (socket: string, at: string): Promise<[number, string]> => {
  const response = await get(socket, at);
  return [response.status, await response.text()];
};

interface Bed extends AsyncDisposable {
  readonly daemon: Daemon;
  readonly folder: string;
  readonly socket: string;
}

async function bed(more = ""): Promise<Bed> {
  await using stack = new AsyncDisposableStack();
  const workspace = stack.use(await createWorkspace());
  const { folder } = workspace;
  const socket = path.join(folder, "debug.sock");
  const config = `
[debug]
  address = "${socket}"
  gid = 4321
${more}
`;
  const daemon = stack.use(await startDaemon({ config }));
  const owned = stack.move();
  return { daemon, folder, socket, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("the debug socket", () => {
  testNeeding(
    daemonNeeds(),
    "tells what the daemon does, to ctr and to tools, and says what it has not",
    async () => {
      await using at = await bed();
      const stats = await fs.stat(at.socket);
      expect([stats.mode & 0o777, stats.gid]).toEqual([0o660, 4321]);
      const vars = (await (await get(at.socket, "/debug/vars")).json()) as Record<string, Record<string, number>>;
      expect(vars["lighter"]?.["pid"]).toBe(at.daemon.pid);
      expect(vars["memstats"]?.["HeapObjects"]).toBeGreaterThan(1000);
      const pprof = (name: string, ...flags: string[]): Promise<string> =>
        runOk(["ctr", "pprof", "--debug-socket", at.socket, name, ...flags]);
      expect(Object.keys(JSON.parse(await pprof("heap")))).toContain("snapshot");
      expect((await textOf(at.socket, "/debug/pprof/heap?debug=1"))[1]).toMatch(
        /^\d+ objects, \d+ of \d+ bytes\n\d+ \w/,
      );
      const profile = JSON.parse(await pprof("profile", "--seconds", "1s")) as { nodes: unknown[]; samples: unknown[] };
      expect(profile.nodes.length).toBeGreaterThan(0);
      expect(await pprof("goroutines")).toContain(`pid ${at.daemon.pid}, up `);
      expect(await textOf(at.socket, "/debug/pprof/cmdline")).toEqual([200, expect.stringContaining("lighterd")]);
      expect(await textOf(at.socket, "/debug/pprof/")).toEqual([200, expect.stringContaining("/debug/pprof/heap")]);
      for (const name of ["block", "threadcreate", "trace", "mutex", "allocs", "symbol"]) {
        const text = expect.stringContaining(`is no Go program and has no ${name} profile`);
        expect(await textOf(at.socket, `/debug/pprof/${name}?seconds=1`)).toEqual([501, text]);
      }
      expect(await textOf(at.socket, "/none")).toEqual([404, expect.stringContaining("/debug/vars")]);
      expect((await textOf(at.socket, "/debug/pprof/profile?seconds=x"))[0]).toBe(400);
      // It answers meanwhile, one profile at a time; one that nobody waits for is over.
      const cut = new AbortController();
      const first = fetch("http://debug/debug/pprof/profile?seconds=60", { unix: at.socket, signal: cut.signal });
      first.catch(() => {});
      const taken = async (): Promise<number> => (await textOf(at.socket, "/debug/pprof/profile?seconds=0.05"))[0];
      while ((await taken()) !== 409);
      await at.daemon.ctrOk(["version"]);
      cut.abort();
      while ((await taken()) !== 200);
      // A daemon that starts again has its socket again, whatever ended it.
      await at.daemon.kill();
      await at.daemon.start();
      expect((await textOf(at.socket, "/debug/vars"))[0]).toBe(200);
      expect(await at.daemon.ctrOk(["plugins", "ls"])).toMatch(/io\.containerd\.server\.v1\s+debug\s+\S+\s+ok/);
    },
    90_000,
  );

  testNeeding(
    daemonNeeds(),
    "the keys level and format say what the log is like",
    async () => {
      const config = (level: string, format: string): string =>
        `[debug]\n  level = "${level}"\n  format = "${format}"\n`;
      await using quiet = await startDaemon({ config: config("warn", "json"), logLevel: "configured" });
      expect(await quiet.logs()).not.toContain("ready in");
      await using told = await startDaemon({ config: config("info", "json"), logLevel: "configured" });
      const lines = (await told.logs()).split("\n").filter(Boolean);
      const ready = lines
        .map((line) => JSON.parse(line) as Record<string, unknown>)
        .find(({ msg }) => /ready in/.test(String(msg)));
      expect(ready).toMatchObject({ level: "info", time: expect.stringMatching(/^\d{4}-/) });
      expect(lines.some((line) => line.includes('"debug"'))).toBe(false);
    },
    90_000,
  );
});

describe("the opt plugin", () => {
  testNeeding(
    daemonNeeds(),
    "ctr install puts an image's programs where the daemon looks for shims first",
    async () => {
      await using workspace = await createWorkspace();
      const opt = path.join(workspace.folder, "opt");
      await using daemon = await startDaemon({
        config: `[plugins."io.containerd.internal.v1.opt"]\n  path = "${opt}"\n`,
      });
      const tools = path.join(workspace.folder, "tools");
      await fs.mkdir(path.join(tools, "bin"), { recursive: true });
      const shim = path.join(tools, "bin/containerd-shim-found-v1");
      await fs.writeFile(shim, "#!/bin/sh\necho the installed shim spoke >&2\nexit 1\n", { mode: 0o755 });
      await lighterOk(daemon, ["image", "from-rootfs", tools, "lighter.test/tools:1"]);
      await daemon.ctrOk(["install", "lighter.test/tools:1"]);
      expect(await fs.readdir(path.join(opt, "bin"))).toEqual(["containerd-shim-found-v1"]);
      // What it does is of no matter: what it says shows that it was found.
      await importBusybox(daemon);
      const ran = await daemon.ctr(["run", "--rm", "--runtime", "io.containerd.found.v1", busyboxImage, "c1", "true"]);
      expect([ran.code === 0, ran.stderr + (await daemon.logs())]).toEqual([
        false,
        expect.stringContaining("the installed shim spoke"),
      ]);
    },
    90_000,
  );
});
