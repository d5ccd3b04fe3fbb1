import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import { run, runOk } from "../../test/support/index.ts";

/** Sparse: it takes what is written to it. */
const sizeBytes = 64 * 2 ** 30;

/**
 * Puts everything temporary of this process, daemons and all, on a filesystem of its own until it is disposed. Where files were
 * removed a moment ago, ext4 looks long for an inode to make a new one of (recently_deleted in fs/ext4/ialloc.c), and a
 * measurement would pay for the one before it. On this one nothing is removed.
 * Effects: without loop devices all stays as it was, with a warning.
 */
export async function openFreshDisk(): Promise<AsyncDisposable> {
  await using made = new AsyncDisposableStack();
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), "lighter-disk-"));
  made.defer(() => fs.rm(folder, { recursive: true, force: true }));
  const [image, mountPoint] = [path.join(folder, "image"), path.join(folder, "m")];
  await fs.mkdir(mountPoint);
  await runOk(["truncate", `--size=${sizeBytes}`, image]);
  await runOk(["mkfs.ext4", "-q", "-F", image]);
  const mounted = await run(["mount", "-o", "loop", image, mountPoint]);
  if (mounted.code === 0) {
    made.defer(async () => {
      await runOk(["umount", "--lazy", mountPoint]);
    });
    const before = process.env["TMPDIR"];
    process.env["TMPDIR"] = mountPoint;
    made.defer(() => {
      if (before === undefined) delete process.env["TMPDIR"];
      else process.env["TMPDIR"] = before;
    });
  } else console.error(`no filesystem of its own: ${mounted.stderr.trim()}`);
  const owned = made.move();
  return { [Symbol.asyncDispose]: () => owned.disposeAsync() };
}
