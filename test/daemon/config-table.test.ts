import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse, stringify } from "smol-toml";
import { flavourOf } from "../../src/daemon/config/flavours.ts";
import { parseOptions } from "../../src/daemon/config/options.ts";
import { noteText, resolveSettings } from "../../src/daemon/config/settings.ts";
import { daemonPlugins } from "../../src/daemon/index.ts";
import { messageOf } from "../../src/lib/faults.ts";
import { decodePlugins, isTable, loadConfig } from "../../src/plugin/index.ts";
import { testNeeding } from "../support/index.ts";
import { type ConfigTable, containerdDefaults, type Release, releases } from "./containerd-defaults.ts";

const scratch = mkdtempSync(join(tmpdir(), "config-table-"));
afterAll(() => rmSync(scratch, { recursive: true }));
let counter = 0;

interface Read {
  /** Each with its file and line; the folder is left out. */
  readonly warnings: readonly string[];
  readonly infos: readonly string[];
  readonly errors: readonly string[];
  /** The merged and migrated values. */
  readonly values: ConfigTable;
}

/** Reads files as a daemon at its start does, the first of them by name. */
async function read(files: Readonly<Record<string, string>>): Promise<Read> {
  const folder = join(scratch, String(counter++));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  const plain = (text: string): string => text.replaceAll(`${folder}/`, "");
  try {
    const config = await loadConfig(join(folder, Object.keys(files)[0] ?? ""));
    const notes = [...config.notes, ...decodePlugins(daemonPlugins, config).notes];
    const of = (level: string): string[] =>
      notes
        .filter((note) => note.level === level)
        .map(({ file, line, message }) => plain(`${file}${line === undefined ? "" : `:${line}`}: ${message}`));
    return { warnings: of("warn"), infos: of("info"), errors: [], values: config.document.values };
  } catch (error) {
    return { warnings: [], infos: [], errors: plain(messageOf(error)).split("\n"), values: {} };
  }
}

function valueAt(values: unknown, path: readonly string[]): unknown {
  return path.reduce((value: unknown, key) => (isTable(value) ? value[key] : undefined), values);
}

/** Every key of a document, with the tables that it is in. */
function keyPaths(values: ConfigTable, prefix: readonly string[] = []): string[] {
  return Object.entries(values).flatMap(([key, value]) => [
    [...prefix, key].join(" > "),
    ...(isTable(value) ? keyPaths(value, [...prefix, key]) : []),
  ]);
}

const plugin = (uri: string, ...keys: string[]): string[] => ["plugins", `io.containerd.${uri}`, ...keys];

describe("containerd's own defaults", () => {
  test.each([...releases])("of %s load without a warning", async (release) => {
    const { warnings, errors, infos, values } = await read({ "c.toml": stringify(containerdDefaults(release)) });
    expect([errors, warnings]).toEqual([[], []]);
    expect(values["version"]).toBe(4);
    expect(infos.at(-1)).toStartWith("c.toml: plugins of containerd's that are not served");
    expect(infos.length).toBe(release === "2.3" ? 1 : 2);
    expect(valueAt(values, plugin("server.v1.grpc", "address"))).toBe("/run/containerd/containerd.sock");
    expect(valueAt(values, plugin("server.v1.ttrpc", "address"))).toBe("/run/containerd/containerd.sock.ttrpc");
    expect(valueAt(values, plugin("cri.v1.runtime", "containerd", "default_runtime_name"))).toBe("runc");
    expect(valueAt(values, plugin("cri.v1.images", "pinned_images", "sandbox"))).toStartWith("registry.k8s.io/pause:");
    expect(Object.keys(valueAt(values, plugin("grpc.v1.cri")) as ConfigTable).toSorted()).toEqual([
      "disable_tcp_service",
      "enable_tls_streaming",
      "stream_idle_timeout",
      "stream_server_address",
      "stream_server_port",
      "x509_key_pair_streaming",
    ]);
  });

  testNeeding(
    ["containerd"],
    "of the one that is installed load without a warning, and are those of the table",
    async () => {
      const version = /\bv?(\d+\.\d+)\.\d/.exec(await output(["containerd", "--version"]))?.[1] ?? "";
      const text = await output(["containerd", "config", "default"]);
      const { warnings, errors } = await read({ "c.toml": text });
      expect([errors, warnings]).toEqual([[], []]);
      if (releases.includes(version as Release)) {
        const known = new Set(keyPaths(containerdDefaults(version as Release)));
        const real = keyPaths(parse(text)).filter((key) => !ofPlatform(key));
        expect(real.filter((key) => !known.has(key))).toEqual([]);
        expect([...known].filter((key) => !real.includes(key) && !ofPlatform(key))).toEqual([]);
      }
    },
  );
});

/** Plugins that a distribution builds in or leaves out. */
const ofPlatform = (key: string): boolean => /snapshotter\.v1\.(aufs|btrfs|devmapper|zfs)/.test(key);

async function output(command: string[]): Promise<string> {
  const child = Bun.spawn(command, { stdio: ["ignore", "pipe", "ignore"] });
  return await child.stdout.text();
}

interface Case {
  readonly name: string;
  readonly files: Readonly<Record<string, string>>;
  readonly warnings?: readonly string[];
  readonly errors?: readonly string[];
  readonly values?: readonly (readonly [path: readonly string[], value: unknown])[];
}

const gc = (...lines: string[]): string => `[plugins."io.containerd.gc.v1.scheduler"]\n${lines.join("\n")}\n`;

const merging: readonly Case[] = [
  {
    name: "version 1 by short names",
    files: { "c.toml": 'root = "/r"\ndisabled_plugins = ["cri"]\n[plugins.scheduler]\npause_threshold = 0.1\n' },
    values: [
      [["disabled_plugins"], ["io.containerd.grpc.v1.cri"]],
      [plugin("gc.v1.scheduler", "pause_threshold"), 0.1],
    ],
  },
  {
    name: "versions in one configuration may differ: each file is migrated by itself",
    files: {
      "c.toml": 'version = 4\nimports = ["old.toml"]\n',
      "old.toml":
        'version = 2\n[grpc]\naddress = "/x.sock"\nuid = 3\n[metrics]\naddress = "127.0.0.1:1"\ngrpc_histogram = true\n',
    },
    values: [
      [plugin("server.v1.grpc"), { address: "/x.sock", uid: 3 }],
      [plugin("server.v1.ttrpc"), { address: "/x.sock.ttrpc", uid: 3 }],
      [plugin("server.v1.metrics", "address"), "127.0.0.1:1"],
      [plugin("metrics.v1.grpc-prometheus", "grpc_histogram"), true],
    ],
  },
  {
    name: "the TCP socket of version 3 has its certificates and sizes with it",
    files: {
      "c.toml":
        'version = 3\n[grpc]\ntcp_address = "127.0.0.1:7"\ntcp_tls_ca = "/ca"\ntcp_tls_cert = "/cert"\ntcp_tls_key = "/key"\n' +
        'tcp_tls_common_name = "me"\nmax_recv_message_size = 100\n',
    },
    values: [
      [
        plugin("server.v1.grpc-tcp"),
        {
          address: "127.0.0.1:7",
          tls_ca: "/ca",
          tls_cert: "/cert",
          tls_key: "/key",
          tls_common_name: "me",
          max_recv_message_size: 100,
        },
      ],
      [plugin("server.v1.grpc"), { max_recv_message_size: 100 }],
    ],
  },
  {
    name: "drop-ins in the order of their names, the last one wins; empty values leave what was there",
    files: {
      "c.toml": 'version = 3\nimports = ["conf.d/*.toml"]\noom_score = 1\nstate = "/s"\n[debug]\nlevel = "debug"\n',
      "conf.d/20.toml":
        'version = 3\nroot = "/second"\nstate = ""\noom_score = 0\n[debug]\nlevel = ""\nformat = "json"\n',
      "conf.d/10.toml": 'version = 3\nroot = "/first"\n',
      "conf.d/30.txt": "no TOML at all",
    },
    values: [
      [["root"], "/second"],
      [["state"], "/s"],
      [["oom_score"], 1],
      [["debug"], { level: "debug", format: "json" }],
    ],
  },
  {
    name: "lists at the top are joined, lists of plugins replaced, their tables merged, empty values too",
    files: {
      "c.toml":
        'version = 3\nimports = ["d.toml"]\ndisabled_plugins = ["io.containerd.snapshotter.v1.native"]\n' +
        '[plugins."io.containerd.service.v1.diff-service"]\ndefault = ["walking"]\nsync_fs = true\n',
      "d.toml":
        'version = 3\ndisabled_plugins = ["io.containerd.snapshotter.v1.native", "io.containerd.gc.v1.scheduler"]\n' +
        '[plugins."io.containerd.service.v1.diff-service"]\ndefault = ["mine"]\nsync_fs = false\n',
    },
    values: [
      [["disabled_plugins"], ["io.containerd.snapshotter.v1.native", "io.containerd.gc.v1.scheduler"]],
      [plugin("service.v1.diff-service"), { default: ["mine"], sync_fs: false }],
    ],
  },
  {
    name: "proxy plugins, stream processors and timeouts are replaced one by one",
    files: {
      "c.toml":
        'version = 3\nimports = ["d.toml"]\n[proxy_plugins.a]\ntype = "snapshot"\naddress = "/a"\nplatform = "linux/amd64"\n' +
        '[proxy_plugins.b]\ntype = "diff"\naddress = "/b"\n[timeouts]\n"io.containerd.timeout.shim.load" = "1s"\n"io.containerd.timeout.task.state" = "2s"\n' +
        '[stream_processors.p]\naccepts = ["a"]\nreturns = "b"\npath = "p"\nargs = ["-x"]\n',
      "d.toml":
        'version = 3\n[proxy_plugins.a]\ntype = "snapshot"\naddress = "/new"\n[timeouts]\n"io.containerd.timeout.task.state" = "3s"\n' +
        '[stream_processors.p]\naccepts = ["c"]\nreturns = "b"\npath = "q"\n',
    },
    values: [
      [["proxy_plugins", "a"], { type: "snapshot", address: "/new" }],
      [["proxy_plugins", "b"], { type: "diff", address: "/b" }],
      [
        ["timeouts"],
        {
          "io.containerd.timeout.shim.load": "1s",
          "io.containerd.timeout.task.state": "3s",
        },
      ],
      [["stream_processors", "p"], { accepts: ["c"], returns: "b", path: "q" }],
    ],
  },
  {
    name: "circles of imports end",
    files: {
      "c.toml": 'version = 3\nimports = ["d.toml"]\nroot = "/c"\n',
      "d.toml": 'version = 3\nimports = ["c.toml"]\n',
    },
    values: [[["root"], "/c"]],
  },
  {
    name: "the table of the CRI is parted; what stands in the new tables of the runtime counts, and of the images does not",
    files: {
      "c.toml":
        'version = 2\n[plugins."io.containerd.grpc.v1.cri"]\nsandbox_image = "p"\nenable_selinux = true\nstream_server_port = "1"\n' +
        '[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/b"\n' +
        '[plugins."io.containerd.grpc.v1.cri".registry]\nconfig_path = "/r"\n' +
        '[plugins."io.containerd.grpc.v1.cri".containerd]\nsnapshotter = "native"\n' +
        '[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.kata]\nsandbox_mode = "shim"\n' +
        '[plugins."io.containerd.cri.v1.images".pinned_images]\nsandbox = "old"\nother = "o"\n' +
        '[plugins."io.containerd.cri.v1.runtime"]\nenable_selinux = false\n',
    },
    values: [
      [plugin("grpc.v1.cri"), { stream_server_port: "1" }],
      [
        plugin("cri.v1.images"),
        { pinned_images: { sandbox: "p", other: "o" }, registry: { config_path: "/r" }, snapshotter: "native" },
      ],
      [
        plugin("cri.v1.runtime"),
        {
          enable_selinux: false,
          cni: { bin_dirs: ["/b"] },
          containerd: { runtimes: { kata: { sandboxer: "shim" } } },
        },
      ],
    ],
  },
];

const mistyped: readonly Case[] = [
  {
    name: "keys at the top, in tables, in plugins, in drop-ins",
    files: {
      "c.toml": `version = 3\nimprts = ["x"]\nimports = ["d.toml"]\n[debug]\nlevle = "info"\n${gc('schedule_dealy = "1s"')}`,
      "d.toml": 'version = 3\n[grpc]\ntcp_adress = ""\n',
    },
    warnings: [
      'c.toml:2: unknown key imprts is ignored; did you mean "imports"?',
      'c.toml:5: unknown key debug.levle is ignored; did you mean "level"?',
      'd.toml:3: unknown key grpc.tcp_adress is ignored; did you mean "tcp_address"?',
      'c.toml:7: unknown key plugins."io.containerd.gc.v1.scheduler".schedule_dealy is ignored; did you mean "schedule_delay"?',
    ],
  },
  {
    name: "plugins, by their URIs and by the short names of version 1; plugins that are switched off",
    files: {
      "c.toml":
        'version = 2\ndisabled_plugins = ["io.containerd.snapshotter.v1.btrsf"]\n[plugins.scheduler]\n' +
        '[plugins."io.containerd.gc.v1.schedule"]\n[plugins."com.example.v1.own"]\n',
    },
    warnings: [
      'c.toml:3: unknown plugin "scheduler": its settings are ignored; did you mean "io.containerd.gc.v1.scheduler"?',
      'c.toml:4: unknown plugin "io.containerd.gc.v1.schedule": its settings are ignored; did you mean "io.containerd.gc.v1.scheduler"?',
      'c.toml:5: unknown plugin "com.example.v1.own": its settings are ignored',
      'c.toml:2: disabled_plugins: there is no plugin "io.containerd.snapshotter.v1.btrsf"; did you mean "io.containerd.snapshotter.v1.btrfs"?',
    ],
  },
  {
    name: "timeouts; one of the CRI's is known",
    files: {
      "c.toml":
        'version = 3\n[timeouts]\n"io.containerd.timeout.shim.laod" = "5s"\n' +
        '"io.containerd.timeout.cri.defercleanup" = "1m0s"\nmine = "1s"\n',
    },
    warnings: [
      'c.toml:3: unknown key timeouts."io.containerd.timeout.shim.laod" is ignored; did you mean "io.containerd.timeout.shim.load"?',
      "c.toml:5: unknown key timeouts.mine is ignored",
    ],
  },
  {
    name: "tables of older versions in version 4",
    files: { "c.toml": 'version = 4\n[metrics]\naddress = ""\n[debug]\naddress = "/d"\n' },
    warnings: [
      'c.toml:2: "metrics" is not read in version 4: its keys stand in plugins."io.containerd.server.v1.*"',
      'c.toml:5: debug.address is not read in version 4: it stands in plugins."io.containerd.server.v1.debug"',
    ],
  },
];

const wrong: readonly Case[] = [
  {
    name: "types, ranges and words at the top, all at once",
    files: {
      "c.toml":
        'version = 3\nroot = 5\noom_score = 1001\ndisabled_plugins = "a.b"\n[debug]\nlevel = "loud"\nformat = "xml"\n' +
        "[grpc]\nuid = -1\nmax_recv_message_size = 4294967296\n",
    },
    errors: [
      'c.toml:2: root: expected a string, got the number 5; for example root = "/var/lib/lighter"',
      'c.toml:6: debug.level: expected one of trace, debug, info, warn, error, fatal, panic, got the string "loud"; for example level = "info"',
      'c.toml:7: debug.format: expected one of "text", "json", got the string "xml"; for example format = "text"',
      'c.toml:4: disabled_plugins: expected a list of strings, got the string "a.b"; for example disabled_plugins = ["io.containerd.snapshotter.v1.native"]',
      "c.toml:3: oom_score: expected an integer from -1000 to 1000, got the number 1001; for example oom_score = 0",
      "c.toml:9: grpc.uid: expected an integer from 0 to 4294967294, got the number -1; for example uid = 0",
      "c.toml:10: grpc.max_recv_message_size: expected a size in bytes, from 0 to 2147483647, got the number 4294967296; for example max_recv_message_size = 16777216",
    ],
  },
  {
    name: "durations, fractions and choices of plugins, in drop-ins",
    files: {
      "c.toml": 'version = 3\nimports = ["d.toml"]\n',
      "d.toml": `version = 3\n${gc('pause_threshold = "much"', 'schedule_delay = "soon"')}[plugins."io.containerd.metadata.v1.bolt"]\ncontent_sharing_policy = "open"\n`,
    },
    errors: [
      'd.toml:6: plugins."io.containerd.metadata.v1.bolt".content_sharing_policy: expected one of "shared", "isolated", got the string "open"; for example content_sharing_policy = "shared"',
      'd.toml:3: plugins."io.containerd.gc.v1.scheduler".pause_threshold: expected a number between 0.0 and 0.5, got the string "much"; for example pause_threshold = 0.02',
      'd.toml:4: plugins."io.containerd.gc.v1.scheduler".schedule_delay: expected a duration with units (ns, us, ms, s, m, h), got the string "soon"; for example schedule_delay = "10s"',
    ],
  },
  {
    name: "timeouts without a unit, or without any time",
    files: {
      "c.toml":
        'version = 3\n[timeouts]\n"io.containerd.timeout.shim.load" = "5"\n' +
        '"io.containerd.timeout.task.state" = "0s"\n"io.containerd.timeout.bolt.open" = "0s"\nmine = 5\n',
    },
    errors: [
      'c.toml:3: timeouts."io.containerd.timeout.shim.load": expected a duration with units (ns, us, ms, s, m, h), got the string "5"; for example "io.containerd.timeout.shim.load" = "10s"',
      'c.toml:4: timeouts."io.containerd.timeout.task.state": expected a duration of more than 0, got the string "0s"; for example "io.containerd.timeout.task.state" = "10s"',
      'c.toml:6: timeouts.mine: expected a duration with units (ns, us, ms, s, m, h), got the number 5; for example mine = "10s"',
    ],
  },
  {
    name: "what TOML does not allow",
    files: { "c.toml": "version = 3\nroot = /var/lib\n" },
    errors: ["c.toml:2:8: invalid value"],
  },
  {
    name: "a version that is not known",
    files: { "c.toml": "version = 5\n" },
    errors: ["c.toml:1: expected containerd config version equal to or less than `4`, got `5`"],
  },
  {
    name: "an import that is not there",
    files: { "c.toml": 'version = 3\nimports = ["absent.toml"]\n' },
    errors: ["c.toml: imports: read absent.toml: ENOENT: no such file or directory, open 'absent.toml'"],
  },
  {
    name: "plugins that the daemon must not start without, and that are not there; a proxy's is",
    files: {
      "c.toml":
        'version = 3\nrequired_plugins = [\n  "io.containerd.gc.v1.schedular",\n  "io.containerd.grpc.v1.cri",\n' +
        '  "io.containerd.snapshotter.v1.far",\n]\n[proxy_plugins.far]\ntype = "snapshot"\naddress = "/far"\n',
    },
    errors: [
      'c.toml:3: required_plugins: required plugin "io.containerd.gc.v1.schedular" is not included; did you mean "io.containerd.gc.v1.scheduler"?',
      'c.toml:4: required_plugins: required plugin "io.containerd.grpc.v1.cri" is not included',
    ],
  },
  {
    name: "a plugin that is no URI",
    files: { "c.toml": 'version = 2\nrequired_plugins = ["cri"]\n' },
    errors: ['c.toml:2: invalid required plugin URI "cri" expect io.containerd.x.vx'],
  },
];

function rows(cases: readonly Case[]): (readonly [string, Case])[] {
  return cases.map((one) => [one.name, one] as const);
}

async function check({ files, warnings = [], errors = [], values = [] }: Case): Promise<void> {
  const got = await read(files);
  expect(got.errors).toEqual([...errors]);
  expect(got.warnings).toEqual([...warnings]);
  for (const [path, value] of values) expect([path, valueAt(got.values, path)]).toEqual([path, value]);
}

describe("versions, imports and merging", () => {
  test.each(rows(merging))("%s", (_name, one) => check(one));
});
describe("drop-ins that nothing imports", () => {
  test("are told, with what would have them read", async () => {
    const folder = join(scratch, "unread");
    mkdirSync(join(folder, "conf.d"), { recursive: true });
    const flavour = {
      ...flavourOf("lighterd"),
      configPath: join(folder, "config.toml"),
      imports: join(folder, "conf.d/*.toml"),
    };
    const notes = async (): Promise<string[]> =>
      (await resolveSettings(parseOptions([]), flavour)).config.notes.map(noteText);
    expect(await notes()).toEqual([]);
    writeFileSync(join(folder, "conf.d/a.toml"), 'version = 4\nroot = "/a"\n');
    writeFileSync(join(folder, "conf.d/a.txt"), "");
    const told = [
      `${folder}/conf.d/a.toml: is not read: nothing imports it; it needs imports = ["${flavour.imports}"] in ${flavour.configPath}`,
    ];
    expect(await notes()).toEqual(told);
    writeFileSync(flavour.configPath, "version = 4\n");
    expect(await notes()).toEqual(told);
    writeFileSync(flavour.configPath, 'version = 4\nimports = ["conf.d/*.toml"]\n');
    expect(await notes()).toEqual([]);
    expect((await resolveSettings(parseOptions([]), flavour)).root).toBe("/a");
  });
});
describe("what is mistyped warns with file, line and the nearest known word", () => {
  test.each(rows(mistyped))("%s", (_name, one) => check(one));
});
describe("what is wrong stops the start with file, line, what was expected and an example", () => {
  test.each(rows(wrong))("%s", (_name, one) => check(one));
});
