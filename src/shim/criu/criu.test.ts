import { describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { create, type DescMessage, type MessageShape } from "@bufbuild/protobuf";
import { CheckpointOptionsSchema } from "../../gen/containerd/runc/v1/oci_pb.ts";
import { CgroupEntrySchema, MountEntrySchema } from "../../gen/lighter/criu/v1/images_pb.ts";
import { restoreConfig } from "./config-file.ts";
import { firstError } from "./criu-log.ts";
import { findExternalFiles } from "./external-files.ts";
import { encodeCriuImage, readCriuImage } from "./images.ts";
import { keepOwnCgroups } from "./own-cgroups.ts";
import { notesOf, readNotes, writeNotes } from "./restore-notes.ts";

const magic = Buffer.from([0x19, 0x43, 0x56, 0x54, 0x30, 0x33, 0x38, 0x59]);

class Folder implements Disposable {
  readonly path: string = mkdtempSync("/tmp/lighter-criu-");
  at(name: string): string {
    return join(this.path, name);
  }
  async image<D extends DescMessage>(name: string, schema: D, entries: readonly MessageShape<D>[]): Promise<string> {
    await writeFile(this.at(name), encodeCriuImage(schema, { magic, entries }));
    return this.at(name);
  }
  [Symbol.dispose](): void {
    rmSync(this.path, { recursive: true, force: true });
  }
}

function cgroups(v1: string, v2: string): MessageShape<typeof CgroupEntrySchema> {
  const dirs = [{ dirName: "default/other" }];
  return create(CgroupEntrySchema, {
    sets: [
      {
        id: 1,
        ctls: [
          { name: "memory", path: v1 },
          { name: "", path: v2 },
        ],
      },
    ],
    controllers: [{ cnames: ["memory"] }, { cnames: [""], dirs }],
  });
}

describe("keepOwnCgroups", () => {
  async function kept(v1: string, v2: string) {
    using folder = new Folder();
    const path = await folder.image("cgroup.img", CgroupEntrySchema, [cgroups(v1, v2)]);
    await keepOwnCgroups(folder.path);
    const image = await readCriuImage(path, CgroupEntrySchema);
    expect(Buffer.from(image?.magic ?? []).equals(magic)).toBe(true);
    const entry = image?.entries[0];
    return {
      members: entry?.sets[0]?.ctls.map(({ name }) => name),
      folders: entry?.controllers.map(({ cnames, dirs }) => [cnames[0], ...dirs.map(({ dirName }) => dirName)]),
    };
  }

  test("drops a v2 hierarchy in which the container has no cgroup of its own", async () => {
    const dropped = { members: ["memory"], folders: [["memory", "default/c1"]] };
    expect(await kept("/default/c1", "/")).toEqual(dropped);
    expect(await kept("/default/c1", "/the-host")).toEqual(dropped);
  });

  test("keeps one in which it has its own", async () => {
    expect(await kept("/default/c1", "/default/c1")).toEqual({
      members: ["memory", ""],
      folders: [
        ["memory", "default/c1"],
        ["", "default/other"],
      ],
    });
  });
});

describe("readCriuImage", () => {
  test("says that there is none, and that it is none", async () => {
    using folder = new Folder();
    expect(await readCriuImage(folder.at("cgroup.img"), CgroupEntrySchema)).toBeUndefined();
    await writeFile(folder.at("cgroup.img"), Buffer.concat([magic, Buffer.from([255, 255, 255, 255, 1])]));
    const reading = readCriuImage(folder.at("cgroup.img"), CgroupEntrySchema);
    expect(await failure(reading)).toContain("it ends within an entry");
  });
});

describe("restoreConfig", () => {
  const base = { runtimeRoot: "/run/state/default", hasStreams: true };

  test("maps what crun calls its empty folder, and takes no orders from names", async () => {
    using folder = new Folder();
    const names = ["/run/crun/.empty-directory", "/run/state/default/.empty-directory", "/proc/keys"];
    const hostile = "x]:/\nexternal mnt[/etc]:/etc/.empty-directory";
    const mounts = [...names, hostile, ""].map((extKey) => create(MountEntrySchema, { extKey }));
    await folder.image("mountpoints-13.img", MountEntrySchema, mounts);
    const notes = { ...(await readNotes(folder.path)), emptyNamespaces: ["network"] };
    expect(await restoreConfig({ ...base, kind: "crun", image: folder.path, notes })).toBe(
      "empty-ns net\nexternal mnt[/run/crun/.empty-directory]:/run/state/default/.empty-directory\n",
    );
    expect(await restoreConfig({ ...base, kind: "runc", image: folder.path, notes })).toBe("");
  });

  test("gives each new stream to one old one, and none to a terminal", async () => {
    using folder = new Folder();
    const files = [
      { key: "file[1:a]", stream: 1 },
      { key: "file[1:b]", stream: 2 },
      { key: "file[1:c]", stream: 1 },
    ] as const;
    const notes = { ...(await readNotes(folder.path)), files };
    expect(await restoreConfig({ ...base, kind: "runc", image: folder.path, notes })).toBe(
      "inherit-fd fd[1]:ile[1:a]\ninherit-fd fd[2]:ile[1:b]\n",
    );
    expect(await restoreConfig({ ...base, hasStreams: false, kind: "runc", image: folder.path, notes })).toBe("");
  });
});

describe("restore notes", () => {
  test("come back as they were written", async () => {
    using folder = new Folder();
    const options = create(CheckpointOptionsSchema, { openTcp: true, emptyNamespaces: ["network"] });
    await writeNotes(folder.path, notesOf(options, [{ key: "file[3e:5f]", stream: 2 }]));
    expect(await readNotes(folder.path)).toMatchObject({
      openTcp: true,
      fileLocks: false,
      emptyNamespaces: ["network"],
      files: [{ key: "file[3e:5f]", stream: 2 }],
    });
  });

  test.each([
    ["no JSON", "{"],
    ["no object", "null"],
    ["an option for a name", '{"emptyNamespaces":["--x"]}'],
    ["a line in a key", '{"files":[{"key":"file[1:2]\\\nexternal x","stream":1}]}'],
    ["another descriptor", '{"files":[{"key":"file[1:2]","stream":7}]}'],
  ])("of anybody's are refused: %s", async (_, text) => {
    using folder = new Folder();
    await writeFile(folder.at("lighter.json"), text);
    expect(await failure(readNotes(folder.path))).toContain(`read "${folder.at("lighter.json")}": `);
  });
});

describe("firstError", () => {
  test("is the one that others follow from", () => {
    const log = [
      "(00.1) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted",
      "(00.2)     11: Error (soccr/soccr.c:529): Can't connect inet socket back: Network is unreachable",
      "(00.3) Error (criu/cr-restore.c:2331): Restoring FAILED.",
    ];
    expect(firstError(log.join("\n"))).toBe("Can't connect inet socket back: Network is unreachable");
    expect(firstError("(00.1) all is well")).toBeUndefined();
  });
});

describe("findExternalFiles", () => {
  test("finds nothing outside of a process's own mounts, memory without a name included", async () => {
    const script = "import os\nheld=os.memfd_create('held')\nprint('up',flush=True)\nos.read(0,1)";
    const child = Bun.spawn(["python3", "-c", script], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    try {
      await child.stdout.getReader().read();
      expect(await findExternalFiles(child.pid, [child.pid, 2 ** 30])).toEqual([]);
    } finally {
      await child.stdin.end();
      await child.exited;
    }
  });
});

const failure = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => "none",
    (error: unknown) => String(error),
  );
