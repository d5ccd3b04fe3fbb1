import { describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { encodeHeader, noXattrs, type TarEntry, zeroTime } from "../lib/tar/index.ts";
import { createKernel } from "../sys/index.ts";
import { copyTree, removeTrees, spawnWorker } from "./index.ts";
import { cleanName } from "./paths.ts";

// Workers chroot, mount and give rights up, all of which is root's; these are counted as skipped elsewhere.
const requiresRoot = test.skipIf(process.getuid?.() !== 0);

function freshFolder(): string {
  return mkdtempSync(join(tmpdir(), "lighter-workers-"));
}

/** The processes whose parent that is. */
function childrenOf(pid: number): number[] {
  return readdirSync("/proc")
    .filter((name) => /^[0-9]+$/.test(name))
    .map(Number)
    .filter((one) => parentOf(one) === pid);
}

function parentOf(pid: number): number | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    return Number(stat.slice(stat.lastIndexOf(")") + 2).split(" ")[1]);
  } catch {
    // It ended while the list was read.
    return undefined;
  }
}

function fileEntry(name: string, sizeBytes: number): TarEntry {
  const owner = { uid: 0, gid: 0, devMajor: 0, devMinor: 0, mtime: zeroTime, xattrs: noXattrs };
  return { name, linkName: "", kind: "file", mode: 0o644, sizeBytes, ...owner };
}

async function until(condition: () => boolean): Promise<void> {
  const deadline = Date.now() + 15_000;
  while (!condition()) {
    if (Date.now() > deadline) throw new Error("the condition did not come true");
    await Bun.sleep(10);
  }
}

/** A job that lasts: its archive is a FIFO that nobody writes to. */
function lastingJob(folder: string): Parameters<typeof spawnWorker<"unpack">>[1] {
  createKernel().mkfifo(join(folder, "fifo"), 0o600);
  mkdirSync(join(folder, "root"));
  return {
    blob: join(folder, "fifo"),
    mediaType: "application/vnd.oci.image.layer.v1.tar",
    target: {
      mounts: [{ type: "bind", source: join(folder, "root"), target: "", options: ["rw", "rbind"] }],
      mountPoint: join(folder, "root"),
    },
    syncFs: false,
    limits: { maxEntries: 1, maxBytes: 1 },
  };
}

describe("spawnWorker", () => {
  test("workers leave no descriptor open, whether they did their job or could not", async () => {
    const useOne = async (): Promise<void> => {
      const folder = freshFolder();
      await spawnWorker("remove-tree", { paths: [join(folder, "a")] });
      const lasting = spawnWorker("unpack", lastingJob(folder), { signal: AbortSignal.timeout(50) });
      expect(await lasting.catch((error: unknown) => String(error))).toContain("timed out");
      rmSync(folder, { recursive: true });
    };
    await useOne();
    Bun.gc(true);
    const before = readdirSync("/proc/self/fd").length;
    for (let n = 0; n < 5; n++) await useOne();
    await until(() => {
      Bun.gc(true);
      return readdirSync("/proc/self/fd").length <= before;
    });
  });

  test("a worker dies with the process that started it", async () => {
    const folder = freshFolder();
    try {
      const job = JSON.stringify(lastingJob(folder));
      const script = join(folder, "parent.ts");
      writeFileSync(
        script,
        `import { spawnWorker } from ${JSON.stringify(join(import.meta.dir, "index.ts"))};\nawait spawnWorker("unpack", ${job});\n`,
      );
      const parent = Bun.spawn([process.execPath, script], { stdio: ["ignore", "ignore", "ignore"] });
      let worker: number | undefined;
      await until(() => {
        worker = childrenOf(parent.pid)[0];
        return worker !== undefined && readFileSync(`/proc/${worker}/cmdline`, "utf8").includes("unpack");
      });
      parent.kill("SIGKILL");
      await parent.exited;
      await until(
        () => !existsSync(`/proc/${worker}`) || parentOf(worker as number) === undefined || isZombie(worker as number),
      );
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 40_000);

  test("a worker is killed with its signal", async () => {
    const folder = freshFolder();
    try {
      const stop = new AbortController();
      const running = spawnWorker("unpack", lastingJob(folder), { signal: stop.signal });
      await until(() => childrenOf(process.pid).length > 0);
      stop.abort(new Error("enough"));
      const ended = await running.then(
        () => "done",
        (error: unknown) => String(error),
      );
      expect(ended).toContain("enough");
    } finally {
      rmSync(folder, { recursive: true });
    }
  }, 40_000);

  requiresRoot("a worker that reads an archive holds no right but those that files take", async () => {
    const folder = freshFolder();
    const blocks = Buffer.alloc(4 << 20);
    // A member, then nothing more until it was looked at.
    blocks.set(encodeHeader(fileEntry("made", 1 << 20)));
    const seen: string[] = [];
    const layer = join(folder, "layer");
    writeFileSync(layer, blocks.subarray(0, 1 << 20));
    async function* lines(): AsyncGenerator<string> {
      yield String(1 << 20);
      await until(() => existsSync(join(folder, "made")));
      for (const pid of childrenOf(process.pid)) {
        const status = readFileSync(`/proc/${pid}/status`, "utf8");
        if (readFileSync(`/proc/${pid}/cmdline`, "utf8").includes("unpack")) {
          seen.push(`${/CapEff:\s*(\S+)/.exec(status)?.[1]} ${/NoNewPrivs:\s*(\S+)/.exec(status)?.[1]}`);
        }
      }
      appendFileSync(layer, blocks.subarray(1 << 20));
      yield String(blocks.length);
      yield "whole";
    }
    const mounts = [{ type: "bind", source: folder, target: "", options: ["rw", "rbind"] }];
    const limits = { maxEntries: 10, maxBytes: 1 << 30 };
    const mediaType = "application/vnd.oci.image.layer.v1.tar";
    const job = { blob: undefined, mediaType, target: { mounts, mountPoint: "/" }, syncFs: false, limits };
    const file = openSync(layer, "r");
    await spawnWorker("unpack", job, { file, lines: lines() });
    closeSync(file);
    // chown, dac_override, fowner, fsetid, mknod, setfcap
    expect(seen).toEqual(["000000008800001b 1"]);
    rmSync(folder, { recursive: true });
  });

  test("a failure keeps its kind and text", async () => {
    const missing = join(tmpdir(), "lighter-no-such-folder");
    const ended = await copyTree(missing, missing).then(
      () => "done",
      (error: unknown) => String(error),
    );
    expect(ended).toContain("nothing to copy");
    await removeTrees([missing]);
  }, 40_000);

  requiresRoot(
    "a copied tree is the same tree",
    async () => {
      const folder = freshFolder();
      try {
        mkdirSync(join(folder, "from/dir"), { recursive: true });
        mkdirSync(join(folder, "to"));
        writeFileSync(join(folder, "from/dir/file"), "x");
        const script =
          "cd from && ln dir/file hard && ln -s dir link && mkfifo fifo && mknod dev c 1 3 && chmod 4751 dir/file && chown 12:34 dir/file && truncate -s 5M holes && touch -d 2001-02-03T04:05:06.789 dir";
        expect(Bun.spawnSync(["sh", "-c", script], { cwd: folder }).exitCode).toBe(0);
        await copyTree(join(folder, "from"), join(folder, "to"));
        const list = (name: string): string =>
          Bun.spawnSync(
            ["sh", "-c", "find . -printf '%P %y %m %U %G %n %T@ %l %s\\n' | grep -v ' d ' | sort; stat -c %y dir"],
            { cwd: join(folder, name) },
          ).stdout.toString();
        expect(list("to")).toBe(list("from"));
        await removeTrees([join(folder, "to")]);
        expect(existsSync(join(folder, "to"))).toBe(false);
      } finally {
        rmSync(folder, { recursive: true });
      }
    },
    40_000,
  );
});

function isZombie(pid: number): boolean {
  try {
    return /^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
  } catch {
    // Gone altogether.
    return true;
  }
}

describe("cleanName", () => {
  test.each([
    ["a/b", "a/b"],
    ["./a//b/", "a/b"],
    ["/a/./b", "a/b"],
    ["a/../b", "b"],
    ["a/b/../..", ""],
    [".", ""],
    ["", ""],
    ["..a/b..", "..a/b.."],
    [".hidden", ".hidden"],
    ["a/..", ""],
    ["../a", undefined],
    ["a/../../b", undefined],
    ["/..", undefined],
  ])("%j is %j", (name, clean) => {
    expect(cleanName(name)).toBe(clean);
  });
});
