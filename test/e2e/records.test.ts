import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, type Daemon, daemonKind, sharedDaemon } from "../support/index.ts";

const shared = sharedDaemon();
const rows = (text: string): readonly string[] =>
  text
    .split("\n")
    .slice(1)
    .filter((line) => line.trim() !== "");

describe("ctr containers", () => {
  shared.test("create, ls, info and rm", async (daemon) => {
    await daemon.ctrOk(["containers", "create", "--label", "deck=upper", busyboxImage, "freight", "true"]);
    expect(rows(await daemon.ctrOk(["containers", "ls"])).find((row) => row.startsWith("freight"))).toMatch(
      /^freight\s+lighter\.test\/busybox:1\s+io\.containerd\.runc\.v2/,
    );
    const info: unknown = JSON.parse(await daemon.ctrOk(["containers", "info", "freight"]));
    expect(info).toMatchObject({
      ID: "freight",
      Image: busyboxImage,
      Snapshotter: "overlayfs",
      SnapshotKey: "freight",
      Labels: { deck: "upper" },
      Runtime: { Name: "io.containerd.runc.v2" },
      Spec: { process: { args: ["true"], cwd: "/" } },
    });
    await daemon.ctrOk(["containers", "rm", "freight"]);
    expect(await daemon.ctrOk(["containers", "ls", "-q"])).not.toContain("freight");
  });

  shared.test("label adds, changes and removes", async (daemon) => {
    await daemon.ctrOk(["containers", "create", busyboxImage, "labelled", "true"]);
    await daemon.ctrOk(["containers", "label", "labelled", "a=1", "b=2"]);
    await daemon.ctrOk(["containers", "label", "labelled", "a=3", "b="]);
    const info = JSON.parse(await daemon.ctrOk(["containers", "info", "labelled"])) as {
      Labels: Record<string, string>;
    };
    expect(info.Labels["a"]).toBe("3");
    expect(info.Labels["b"] ?? "").toBe("");
    await daemon.ctrOk(["containers", "rm", "labelled"]);
  });

  shared.test("ls takes filters", async (daemon) => {
    await daemon.ctrOk(["containers", "create", "--label", "deck=1", busyboxImage, "one", "true"]);
    await daemon.ctrOk(["containers", "create", "--label", "deck=2", busyboxImage, "two", "true"]);
    expect(await daemon.ctrOk(["containers", "ls", "-q", "labels.deck==2"])).toBe("two\n");
    expect(await daemon.ctrOk(["containers", "ls", "-q", "id~=^o"])).toBe("one\n");
    expect(await daemon.ctrOk(["containers", "ls", "-q", "id==one", "id==two"])).toBe("one\ntwo\n");
    await daemon.ctrOk(["containers", "rm", "one", "two"]);
  });

  shared.test("a second one of the same name is refused", async (daemon) => {
    await daemon.ctrOk(["containers", "create", busyboxImage, "twin", "true"]);
    const result = await daemon.ctr(["containers", "create", busyboxImage, "twin", "true"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("already exists");
    await daemon.ctrOk(["containers", "rm", "twin"]);
  });
});

describe("ctr snapshots", () => {
  const top = async (daemon: Daemon): Promise<string> => {
    const line = rows(await daemon.ctrOk(["snapshots", "ls"])).filter((row) => row.includes("Committed"));
    const parents = new Set(line.map((row) => row.split(/\s+/)[1]));
    return line.map((row) => row.split(/\s+/)[0] ?? "").find((key) => !parents.has(key)) ?? "";
  };

  shared.test("prepare, mounts, commit, view, tree and rm", async (daemon) => {
    const parent = await top(daemon);
    const folder = path.join(daemon.workspace.folder, "snap");
    await fs.mkdir(folder);
    await daemon.ctrOk(["snapshots", "prepare", "work", parent]);
    const mount = (await daemon.ctrOk(["snapshots", "mounts", folder, "work"])).trim();
    expect(mount).toStartWith("mount -t overlay overlay ");
    expect(mount).toContain("upperdir=");
    await daemon.ctrOk(["snapshots", "commit", "packed", "work"]);
    await daemon.ctrOk(["snapshots", "view", "look", "packed"]);
    const tree = await daemon.ctrOk(["snapshots", "tree"]);
    expect(tree).toContain("packed");
    expect(tree).toContain("look");
    const refused = await daemon.ctr(["snapshots", "rm", "packed"]);
    expect(refused.stderr).toContain("cannot remove snapshot with child");
    await daemon.ctrOk(["snapshots", "rm", "look"]);
    await daemon.ctrOk(["snapshots", "rm", "packed"]);
  });

  shared.test("info, label and usage", async (daemon) => {
    await daemon.ctrOk(["snapshots", "prepare", "labelled", await top(daemon)]);
    await daemon.ctrOk(["snapshots", "label", "labelled", "deck=upper"]);
    const info: unknown = JSON.parse(await daemon.ctrOk(["snapshots", "info", "labelled"]));
    expect(info).toMatchObject({ Kind: "Active", Name: "labelled", Labels: { deck: "upper" } });
    expect(await daemon.ctrOk(["snapshots", "usage", "labelled"])).toMatch(/labelled\s+\d/);
    await daemon.ctrOk(["snapshots", "rm", "labelled"]);
  });

  shared.test("diff brings the change as an archive", async (daemon) => {
    const id = shared.newId();
    await daemon.ctr(["run", busyboxImage, id, "sh", "-c", "echo new > /new; rm /etc/group"]);
    const result = await daemon.ctr(["snapshots", "diff", id]);
    expect(result.code).toBe(0);
    await daemon.ctr(["tasks", "rm", id]);
    await daemon.ctrOk(["containers", "rm", id]);
  });

  shared.test("the native snapshotter runs containers too", async (daemon) => {
    const file = path.join(daemon.workspace.folder, "busybox.tar");
    await daemon.ctrOk(["images", "import", "--snapshotter", "native", file]);
    const args = ["run", "--rm", "--snapshotter", "native", busyboxImage, shared.newId(), "cat", "/etc/greeting"];
    expect(await daemon.ctrOk(args)).toBe("ahoy from the second layer\n");
  });

  shared.test("an unknown snapshotter is refused by name", async (daemon) => {
    const result = await daemon.ctr(["snapshots", "--snapshotter", "no-such", "ls"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("snapshotter not loaded: no-such");
  });
});

describe("ctr leases", () => {
  shared.test("create, ls and rm", async (daemon) => {
    await daemon.ctrOk(["leases", "create", "--id", "berth", "deck=upper"]);
    expect(await daemon.ctrOk(["leases", "ls"])).toMatch(/^berth\s+\S+\s+containerd\.io\/gc\.expire=\S+,deck=upper/m);
    const twice = await daemon.ctr(["leases", "create", "--id", "berth"]);
    expect(twice.stderr).toContain("already exists");
    await daemon.ctrOk(["leases", "rm", "--sync", "berth"]);
    expect(await daemon.ctrOk(["leases", "ls", "-q"])).toBe("");
  });

  shared.test("create makes a name when none is given", async (daemon) => {
    const id = (await daemon.ctrOk(["leases", "create"])).trim();
    expect(id).not.toBe("");
    await daemon.ctrOk(["leases", "rm", id]);
  });
});

describe("ctr namespaces", () => {
  shared.test("create, label, ls and rm", async (daemon) => {
    const name = `${daemon.namespace}-harbour`;
    await daemon.ctrOk(["namespaces", "create", name, "deck=1"]);
    await daemon.ctrOk(["namespaces", "label", name, "deck=2"]);
    expect(await daemon.ctrOk(["namespaces", "ls"])).toMatch(new RegExp(`^${name}\\s+deck=2`, "m"));
    await daemon.ctrOk(["namespaces", "rm", name]);
    expect(await daemon.ctrOk(["namespaces", "ls", "-q"])).not.toContain(name);
  });

  shared.test("one that holds something is not removed", async (daemon) => {
    const result = await daemon.ctr(["namespaces", "rm", daemon.namespace]);
    expect(result.stderr).toContain("must be empty");
  });

  shared.test("what one holds another does not see", async (daemon) => {
    const result = await daemon.ctrOk(["-n", `${daemon.namespace}-other`, "images", "ls", "-q"]);
    expect(result).toBe("");
  });
});

describe("ctr plugins and version", () => {
  shared.test("plugins ls shows containerd's own ids, all in order", async (daemon) => {
    const text = await daemon.ctrOk(["plugins", "ls"]);
    const lines = rows(text).map((row) => row.split(/\s+/).slice(0, 2).join(" "));
    for (const id of [
      "io.containerd.content.v1 content",
      "io.containerd.snapshotter.v1 overlayfs",
      "io.containerd.snapshotter.v1 native",
      "io.containerd.grpc.v1 containers",
      "io.containerd.grpc.v1 tasks",
      "io.containerd.runtime.v2 task",
    ]) {
      expect(lines).toContain(id);
    }
    expect(rows(text).filter((row) => /\berror\b/.test(row))).toEqual([]);
  });

  shared.test("version names the server", async (daemon) => {
    expect(await daemon.ctrOk(["version"])).toMatch(/Server:\n\s+Version:\s+\S+\n\s+Revision:/);
  });

  shared.test("the daemon's own id outlives a restart", async (daemon) => {
    const uuid = async (): Promise<string> => /UUID: (\S+)/.exec(await daemon.ctrOk(["version"]))?.[1] ?? "";
    const before = await uuid();
    expect(before).toMatch(/^[0-9a-f-]{36}$/);
    await daemon.stop();
    await daemon.start();
    expect(await uuid()).toBe(before);
    expect(daemonKind).toBe(daemon.kind);
  });
});
