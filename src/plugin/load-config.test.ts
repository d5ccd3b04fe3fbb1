import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import { definePlugin, kind } from "./define.ts";
import { type LoadedConfig, loadConfig } from "./load-config.ts";
import { decodePlugins } from "./plugin-config.ts";
import { choice, duration, flag, table, text, texts } from "./schema.ts";

const dir = mkdtempSync(join(tmpdir(), "lighter-config-"));
afterAll(() => rmSync(dir, { recursive: true }));
let counter = 0;

function write(toml: string, name = `${counter++}.toml`): string {
  const path = join(dir, name);
  writeFileSync(path, toml);
  return path;
}

const load = (toml: string): Promise<LoadedConfig> => loadConfig(write(toml));
const messages = (config: LoadedConfig): string[] =>
  config.notes.map((note) => `${note.file.slice(dir.length + 1)}:${note.line}: ${note.message}`);

const overlayfs = definePlugin({
  type: kind<number>("io.containerd.snapshotter.v1"),
  id: "overlayfs",
  config: table({ root_path: text(), upperdir_label: flag(), mount_options: texts() }),
  init: () => 1,
});
const bolt = definePlugin({
  type: kind<number>("io.containerd.metadata.v1"),
  id: "bolt",
  config: table({ content_sharing_policy: choice(["shared", "isolated"], "shared"), wait: duration(5000) }),
  init: () => 1,
});
const plugins = [overlayfs, bolt];

/** What a promise fails with, as text. */
const failure = (promise: Promise<unknown>): Promise<string> => promise.then(() => "no failure", messageOf);

describe("loadConfig", () => {
  test("warns of unknown keys with line and the nearest known one", async () => {
    const config = await load('version = 2\nrot = "/x"\n\n[grpc]\n  adress = "/a"\n[wholly]\nunlike = 1\n');
    expect(messages(config)).toEqual([
      expect.stringMatching(/:2: unknown key rot is ignored; did you mean "root"\?$/),
      expect.stringMatching(/:6: unknown key wholly is ignored$/),
      expect.stringMatching(/:5: unknown key grpc.adress is ignored; did you mean "address"\?$/),
      expect.stringMatching(/:1: configuration of version 2 is migrated to 4 in memory/),
    ]);
  });
  test("stops at wrong values, all of them at once, with line and expectation", async () => {
    const path = write('version = 3\nroot = 5\noom_score = "much"\n[timeouts]\n"a.b" = "soon"\n');
    expect(await failure(loadConfig(path))).toBe(
      [
        `${path}:2: root: expected a string, got the number 5; for example root = "/var/lib/lighter"`,
        `${path}:3: oom_score: expected an integer from -1000 to 1000, got the string "much"; for example oom_score = 0`,
        `${path}:5: timeouts."a.b": expected a duration with units (ns, us, ms, s, m, h), got the string "soon"; for example "a.b" = "10s"`,
      ].join("\n"),
    );
  });
  test("stops at broken TOML with line and column", async () => {
    const path = write("version = 2\nroot = \n");
    expect(await failure(loadConfig(path))).toMatch(new RegExp(`^${path}:2:\\d+: `));
  });
  test("stops at versions it does not know", async () => {
    expect(await failure(load("version = 5"))).toMatch(
      "expected containerd config version equal to or less than `4`, got `5`",
    );
  });
  test("names the importer of a file that is not there", async () => {
    const path = write('version = 2\nimports = ["absent.toml"]\n');
    expect(await failure(loadConfig(path))).toMatch(`${path}: imports: read ${join(dir, "absent.toml")}: `);
  });
  test("finds nothing by a pattern in a folder that is not there, or is none", async () => {
    const path = write('version = 2\nroot = "/a"\nimports = ["absent/*.toml", "main.toml/*.toml"]\n', "main.toml");
    expect((await loadConfig(path)).top.root).toBe("/a");
  });
  test("merges imports by containerd's rules: relative, globbed, later wins, circles end", async () => {
    mkdirSync(join(dir, "conf.d"));
    write('version = 2\nroot = "/b"\ndisabled_plugins = ["x.b", "x.a"]\nimports = ["../main.toml"]\n', "conf.d/1.toml");
    write('version = 3\nstate = ""\n[plugins."x.p"]\nk = 2\nl = [2]\n[timeouts]\nb = "2s"\n', "conf.d/2.toml");
    const path = write(
      'version = 2\nroot = "/a"\nstate = "/s"\ndisabled_plugins = ["x.a"]\nimports = ["conf.d/*.toml"]\n' +
        '[plugins."x.p"]\nk = 1\nl = [1]\nm = 1\n[timeouts]\na = "1s"\nb = "1s"\n',
      "main.toml",
    );
    const { top } = await loadConfig(path);
    expect(top.root).toBe("/b");
    expect(top.state).toBe("/s");
    expect(top.disabled_plugins).toEqual(["x.a", "x.b"]);
    expect(top.plugins.get("x.p")).toEqual({ k: 2, l: [2], m: 1 });
    expect(Object.fromEntries(top.timeouts)).toMatchObject({ a: 1000, b: 2000 });
  });
  test("refuses plugin names that are no URIs", async () => {
    expect(await failure(load('version = 2\nrequired_plugins = ["x.y", "cri"]'))).toMatch(
      ':2: invalid required plugin URI "cri" expect io.containerd.x.vx',
    );
  });
  test("keys named like parts of Object change nothing", async () => {
    const config = await load('version = 3\n["__proto__"]\nroot = "/evil"\n[constructor]\nx = 1\n');
    expect(config.top.root).toBe("");
    expect(Object.getPrototypeOf({}).root).toBeUndefined();
    expect(config.notes.filter(({ level }) => level === "warn").length).toBe(2);
  });
});

describe("migration", () => {
  test("moves the servers' settings of version 2 to their plugins, the ttrpc socket beside", async () => {
    const { document, top } = await load(
      'version = 2\n[grpc]\naddress = "/x.sock"\nuid = 7\ngid = 0\ntcp_address = ""\n[debug]\nlevel = "debug"\naddress = "/d"\n',
    );
    expect(top.version).toBe(4);
    expect(top.debug.level).toBe("debug");
    expect(document.get(["plugins", "io.containerd.server.v1.grpc"])).toEqual({ address: "/x.sock", uid: 7 });
    expect(document.get(["plugins", "io.containerd.server.v1.ttrpc"])).toEqual({ address: "/x.sock.ttrpc", uid: 7 });
    expect(document.get(["plugins", "io.containerd.server.v1.debug"])).toEqual({ address: "/d" });
    expect(document.origin(["plugins", "io.containerd.server.v1.grpc", "uid"])?.line).toBe(4);
  });
  test("gives version 1's plugins their full names", async () => {
    const { top } = await load(
      'disabled_plugins = ["cri"]\n[plugins.overlayfs]\nroot_path = "/o"\n[plugins.cgroups]\n',
    );
    expect(top.disabled_plugins).toEqual(["io.containerd.grpc.v1.cri"]);
    expect([...top.plugins.keys()].toSorted()).toEqual([
      "io.containerd.monitor.task.v1.cgroups",
      "io.containerd.snapshotter.v1.overlayfs",
    ]);
  });
  test("version 4 says where the old tables went", async () => {
    const config = await load('version = 4\n[grpc]\naddress = "/x"\n');
    expect(messages(config)[0]).toMatch(/:2: "grpc" is not read in version 4/);
  });
  test("hands sched_core over to the shim manager", async () => {
    const { document } = await load('version = 2\n[plugins."io.containerd.runtime.v2.task"]\nsched_core = true\n');
    expect(document.get(["plugins", "io.containerd.shim.v1.manager", "env"])).toEqual(["SCHED_CORE=1"]);
    expect(document.get(["plugins", "io.containerd.runtime.v2.task"])).toEqual({});
  });
});

describe("decodePlugins", () => {
  test("reads a plugin's table and its defaults", async () => {
    const config = await load(
      'version = 3\n[plugins."io.containerd.snapshotter.v1.overlayfs"]\nupperdir_label = true\n',
    );
    const { byUri, notes } = decodePlugins(plugins, config);
    expect(byUri.get(overlayfs.uri)).toEqual({ root_path: "", upperdir_label: true, mount_options: [] });
    expect(byUri.get(bolt.uri)).toEqual({ content_sharing_policy: "shared", wait: 5000 });
    expect(notes).toEqual([]);
  });
  test("warns of unknown keys and plugins, with line and nearest; what containerd has is only told", async () => {
    const config = await load(
      'version = 3\n[plugins."io.containerd.snapshotter.v1.overlayfs"]\nrootpath = "/o"\n' +
        '[plugins."io.containerd.metadata.v1.blot"]\n[plugins."io.containerd.snapshotter.v1.zfs"]\n',
    );
    const { notes } = decodePlugins(plugins, config);
    expect(notes.map((note) => `${note.level}:${note.line}:${note.message}`)).toEqual([
      'warn:3:unknown key plugins."io.containerd.snapshotter.v1.overlayfs".rootpath is ignored; did you mean "root_path"?',
      'warn:4:unknown plugin "io.containerd.metadata.v1.blot": its settings are ignored; did you mean "io.containerd.metadata.v1.bolt"?',
      "info:undefined:plugins of containerd's that are not served, their settings have no effect: io.containerd.snapshotter.v1.zfs",
    ]);
  });
  test("stops at a wrong value with file and line", async () => {
    const path = write('version = 3\n[plugins."io.containerd.metadata.v1.bolt"]\ncontent_sharing_policy = "open"\n');
    const config = await loadConfig(path);
    expect(() => decodePlugins(plugins, config)).toThrow(
      `${path}:3: plugins."io.containerd.metadata.v1.bolt".content_sharing_policy: ` +
        'expected one of "shared", "isolated", got the string "open"',
    );
  });
});
