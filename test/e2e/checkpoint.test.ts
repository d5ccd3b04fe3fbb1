import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  daemonNeeds,
  importBusybox,
  type RuntimeName,
  sharedDaemon,
  startContainerd,
  startLighter,
  testNeeding,
  waitFor,
} from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
/** Counts in its memory alone: CRIU restores no file that went on changing after the checkpoint. */
const counter = "i=0; while :; do i=$((i+1)); echo $i; sleep 0.05; done";
const logOf = (daemon: Daemon, id: string): string => path.join(daemon.workspace.folder, `${id}.log`);

async function start(daemon: Daemon, id: string, script = counter): Promise<string> {
  const log = ["--log-uri", `file://${logOf(daemon, id)}`];
  await daemon.ctrOk(["run", "-d", ...log, ...daemon.runtimeFlags, busyboxImage, id, "sh", "-c", script]);
  return id;
}

/** What a container has counted to, by its log. */
async function counted(daemon: Daemon, id: string): Promise<number> {
  const text = await fs.readFile(logOf(daemon, id), "utf8").catch(() => "");
  return Number(text.split("\n").at(-2) ?? 0);
}

async function remove(daemon: Daemon, id: string): Promise<void> {
  await daemon.ctr(["tasks", "rm", "-f", id]);
  await daemon.ctrOk(["containers", "rm", id]);
}

describe.each(runtimes)("ctr checkpoint on %s", (runtime) => {
  const shared = sharedDaemon({ runtime, criu: true });
  const startCounting = async (daemon: Daemon): Promise<string> => {
    const id = await start(daemon, shared.newId());
    await waitFor("a count of five", async () => (await counted(daemon, id)) >= 5);
    return id;
  };

  shared.test("of a task into a folder leaves it running", async (daemon) => {
    const id = await startCounting(daemon);
    const folder = path.join(daemon.workspace.folder, `${id}-images`);
    await daemon.ctrOk(["tasks", "checkpoint", "--image-path", folder, id]);
    expect(await fs.readdir(folder)).toContain("inventory.img");
    const before = await counted(daemon, id);
    await waitFor("it to go on", async () => (await counted(daemon, id)) > before);
    await remove(daemon, id);
  });

  // containerd cannot delete a task whose crun removed the container at its checkpoint, nor restore one with crun.
  const beyondContainerd = runtime === "crun" ? { needs: ["ours"] as const } : {};

  shared.test(
    "of a task with --exit ends it",
    async (daemon) => {
      const id = await startCounting(daemon);
      const folder = path.join(daemon.workspace.folder, `${id}-images`);
      await daemon.ctrOk(["tasks", "checkpoint", "--exit", "--image-path", folder, id]);
      await waitFor("the end", async () => (await daemon.ctrOk(["tasks", "ls"])).includes("STOPPED"));
      await remove(daemon, id);
    },
    beyondContainerd,
  );

  shared.test(
    "of a container into an image, and back to life where it was",
    async (daemon) => {
      const id = await startCounting(daemon);
      const name = `lighter.test/checkpoint-${runtime}:1`;
      await daemon.ctrOk(["containers", "checkpoint", "--rw", "--task", "--image", id, name]);
      const saved = await counted(daemon, id);
      await remove(daemon, id);
      expect(await daemon.ctrOk(["images", "ls", "-q"])).toContain(name);
      await fs.rm(logOf(daemon, id));
      await daemon.ctrOk(["containers", "restore", "--rw", "--live", id, name]);
      await waitFor("its process", async () => (await daemon.ctrOk(["tasks", "ls"])).includes("RUNNING"));
      expect(saved).toBeGreaterThanOrEqual(5);
      await remove(daemon, id);
      await daemon.ctrOk(["images", "rm", name]);
    },
    beyondContainerd,
  );
});

/** What a checkpoint is in the content store, with names in place of digests and sizes. */
async function storedCheckpoint(daemon: Daemon, kind: "task" | "container"): Promise<unknown> {
  const id = await start(daemon, `cp-${kind}`);
  await waitFor("a count of two", async () => (await counted(daemon, id)) >= 2);
  const before = new Set(await digests(daemon));
  if (kind === "task") await daemon.ctrOk(["tasks", "checkpoint", id]);
  else await daemon.ctrOk(["containers", "checkpoint", "--rw", "--task", "--image", id, "lighter.test/cp:1"]);
  const line = (await daemon.ctrOk(["images", "ls"])).split("\n").find((text) => /checkpoint|cp:1/.test(text)) ?? "";
  const [, type, digest = ""] = line.split(/\s+/);
  const index = JSON.parse(await daemon.ctrOk(["content", "get", digest]));
  const made: { mediaType: string; digest: string }[] = index.manifests;
  const names = new Map(made.map(({ mediaType, digest: of }) => [of, mediaType]));
  names.set(digest, "index");
  const list = (await daemon.ctrOk(["content", "ls"])).split("\n").slice(1);
  const fresh = list.filter((each) => each !== "" && !before.has(each.split(/\s+/)[0] ?? ""));
  const labels = fresh.map((each) => [names.get(each.split(/\s+/)[0] ?? ""), labelsOf(each, names)]);
  await remove(daemon, id);
  return {
    type,
    schemaVersion: index.schemaVersion,
    annotations: Object.keys(index.annotations ?? {}).sort(),
    manifests: index.manifests.map((each: { digest: string; size: number }) => ({
      ...each,
      digest: undefined,
      size: each.size > 0,
    })),
    labels: labels.toSorted((a, b) => (String(a) < String(b) ? -1 : 1)),
  };
}

function labelsOf(line: string, names: ReadonlyMap<string, string>): string[] {
  const words = (line.split("\t").at(-1) ?? "").split(",");
  return words.map((word) => word.replace(/sha256:[0-9a-f]+/, (digest) => names.get(digest) ?? "another")).sort();
}

async function digests(daemon: Daemon): Promise<string[]> {
  return (await daemon.ctrOk(["content", "ls", "-q"])).split("\n");
}

describe("a checkpoint in the content store", () => {
  testNeeding(
    [...daemonNeeds(), "ours", "containerd", "criu"],
    "is as containerd's",
    async () => {
      await using ours = await startLighter({ criu: true });
      await using theirs = await startContainerd({ criu: true });
      for (const daemon of [ours, theirs]) await importBusybox(daemon);
      for (const kind of ["task", "container"] as const) {
        expect(await storedCheckpoint(ours, kind)).toEqual(await storedCheckpoint(theirs, kind));
      }
    },
    180_000,
  );
});
