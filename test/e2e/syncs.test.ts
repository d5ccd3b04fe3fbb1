import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { lighterOk } from "../cli/support.ts";
import { busyboxImage, type Daemon, startLighter, testNeeding, waitFor, writeBusyboxImage } from "../support/index.ts";

const needs = ["ours", "root", "lighterd", "ctr", "busybox", "overlayfs", "runc", "strace"] as const;
const calls = "fsync,fdatasync,syncfs,rename,renameat,renameat2";

/** Runs an action while the system calls of the daemon and its children that matter here are written down, in their order. */
async function traced(daemon: Daemon, action: () => Promise<unknown>): Promise<readonly string[]> {
  const file = path.join(daemon.workspace.folder, "strace.out");
  const command = ["strace", "-f", "-y", "-e", `trace=${calls}`, "-o", file, "-p", String(daemon.pid)];
  const tracer = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  let attached = false;
  const said = (async () => {
    let text = "";
    for await (const bytes of tracer.stderr) {
      text += new TextDecoder().decode(bytes);
      if (text.includes("attached")) attached = true;
    }
    return text;
  })();
  try {
    await waitFor("strace to be attached", () => attached || tracer.exitCode !== null);
    expect(attached ? "" : await said).toBe("");
    await action();
  } finally {
    tracer.kill("SIGINT");
    await tracer.exited;
  }
  const lines = (await fs.readFile(file, "utf8")).split("\n");
  // A call that another thread's cut in two: its beginning names the call and the file.
  return lines.map((line) => line.replace(/^\d+ +/, "")).filter((line) => /^[a-z]/.test(line));
}

describe("what is on the disk when it is said to be there", () => {
  testNeeding(needs, "a blob: its bytes before it has its name, its name before the answer", async () => {
    await using daemon = await startLighter();
    const blob = path.join(daemon.workspace.folder, "blob");
    await fs.writeFile(blob, "some bytes");
    const lines = await traced(daemon, () => lighterOk(daemon, ["content", "ingest", blob]));
    const at = (pattern: RegExp): number => lines.findIndex((line) => pattern.test(line));
    const synced = at(/^fsync\(\d+<[^>]*\/ingest\/[^>]*\/data>/);
    const renamed = at(/^rename.*\/ingest\/.*\/data".*\/blobs\/sha256\//);
    const folder = at(/^fsync\(\d+<[^>]*\/blobs\/sha256>/);
    expect([synced >= 0, renamed > synced, folder > renamed]).toEqual([true, true, true]);
    const committed = lines.findLastIndex((line) => /^fdatasync\(\d+<[^>]*\.sqlite-wal>/.test(line));
    expect(committed).toBeGreaterThan(folder);
  });

  testNeeding(
    needs,
    "an image's snapshots, by one sync of their filesystem: imported, and unpacked by the first run",
    async () => {
      await using daemon = await startLighter();
      const archive = await writeBusyboxImage(path.join(daemon.workspace.folder, "image.tar"));
      const syncs = (lines: readonly string[]): number => lines.filter((line) => line.startsWith("syncfs(")).length;
      expect(syncs(await traced(daemon, () => lighterOk(daemon, ["image", "import", archive])))).toBe(1);
      expect(syncs(await traced(daemon, () => lighterOk(daemon, ["image", "import", archive])))).toBe(0);
      await lighterOk(daemon, ["rmi", busyboxImage]);
      await lighterOk(daemon, ["system", "gc"]);
      await lighterOk(daemon, ["image", "import", "--no-unpack", archive]);
      expect(syncs(await traced(daemon, () => lighterOk(daemon, ["run", "--rm", busyboxImage, "true"])))).toBe(1);
    },
  );
});
