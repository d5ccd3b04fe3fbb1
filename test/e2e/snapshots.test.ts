import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, collectsWhenAsked, type Daemon, runOk, sharedDaemon } from "../support/index.ts";

const shared = sharedDaemon({ config: collectsWhenAsked });

/** The image's topmost committed snapshot. */
async function topLayer(daemon: Daemon): Promise<string> {
  const lines = (await daemon.ctrOk(["snapshots", "ls"])).split("\n").map((line) => line.trim().split(/\s+/));
  const layers = lines.filter((columns) => columns.at(-1) === "Committed");
  const parents = new Set(layers.map((columns) => (columns.length === 3 ? columns[1] : "")));
  return layers.map(([key]) => key ?? "").find((key) => !parents.has(key)) ?? "";
}

describe("ctr snapshots", () => {
  shared.test("ls, tree, info and usage tell of an image's layers", async (daemon) => {
    const top = await topLayer(daemon);
    expect(top).toStartWith("sha256:");
    expect(await daemon.ctrOk(["snapshots", "tree"])).toContain(`\\_ ${top}`);
    expect(JSON.parse(await daemon.ctrOk(["snapshots", "info", top]))).toMatchObject({ Kind: "Committed", Name: top });
    expect(await daemon.ctrOk(["snapshots", "usage", top])).toMatch(/KiB\s+[1-9]/);
  });

  shared.test("prepare, mounts, view, label, commit and rm", async (daemon) => {
    const top = await topLayer(daemon);
    await daemon.ctrOk(["snapshots", "prepare", "work", top]);
    expect(await daemon.ctrOk(["snapshots", "mounts", "/target", "work"])).toContain(
      "mount -t overlay overlay /target -o",
    );
    await daemon.ctrOk(["snapshots", "view", "look", top]);
    await daemon.ctrOk(["snapshots", "label", "work", "deck=upper"]);
    expect(await daemon.ctrOk(["snapshots", "info", "work"])).toContain('"deck": "upper"');
    const taken = await daemon.ctr(["snapshots", "prepare", "work", top]);
    expect(taken.stderr).toContain('snapshot "work": already exists');
    await daemon.ctrOk(["snapshots", "commit", "done", "work"]);
    const parent = await daemon.ctr(["snapshots", "rm", top]);
    expect(parent.stderr).toContain("cannot remove snapshot with child: failed precondition");
    await daemon.ctrOk(["snapshots", "rm", "look"]);
    await daemon.ctrOk(["snapshots", "rm", "done"]);
    const gone = await daemon.ctr(["snapshots", "info", "done"]);
    expect(gone.stderr).toContain("snapshot done does not exist: not found");
  });

  shared.test("diff brings a running container's changes as a layer", async (daemon) => {
    const id = shared.newId();
    const script =
      "echo new > /etc/new; ln /etc/new /etc/twice; rm /etc/passwd; mkdir -m 700 /made; touch /ready; sleep 600";
    await daemon.ctrOk(["run", "-d", busyboxImage, id, "sh", "-c", script]);
    try {
      const file = path.join(daemon.workspace.folder, "diff.tar.gz");
      for (let tries = 0; tries < 50; tries++) {
        const { stdout } = await daemon.ctr(["task", "exec", "--exec-id", `e${tries}`, id, "ls", "/ready"]);
        if (stdout.includes("ready")) break;
      }
      await runOk(["sh", "-c", `ctr -a ${daemon.address} -n ${daemon.namespace} snapshots diff ${id} > ${file}`]);
      const listed = (await runOk(["tar", "-tzf", file])).split("\n").filter(Boolean).sort();
      expect(listed).toEqual(["etc/", "etc/.wh.passwd", "etc/new", "etc/twice", "made/", "ready"]);
      expect((await fs.stat(file)).size).toBeGreaterThan(100);
    } finally {
      await daemon.ctr(["task", "kill", "-s", "KILL", id]);
      await daemon.ctr(["task", "rm", "-f", id]);
      await daemon.ctrOk(["containers", "rm", id]);
    }
  });

  shared.test("run on the native snapshotter", async (daemon) => {
    await daemon.ctrOk(["run", "--rm", "--snapshotter", "native", busyboxImage, shared.newId(), "true"]);
    expect(await daemon.ctrOk(["snapshots", "--snapshotter", "native", "ls"])).toContain("Committed");
  });

  shared.test("an unknown snapshotter is named", async (daemon) => {
    const result = await daemon.ctr(["snapshots", "--snapshotter", "none", "ls"]);
    expect(result.stderr).toContain("snapshotter not loaded: none: invalid argument");
  });
});
