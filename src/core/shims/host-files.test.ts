import { describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createLogger } from "../../lib/log.ts";
import { createKernel, openFlags } from "../../sys/index.ts";
import { createHostFiles, type HostFiles, isOfHost } from "./host-files.ts";

class Bed implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "lighter-host-files-"));
  readonly lines: string[] = [];
  readonly log = createLogger({ level: "debug", format: "text", write: (line) => void this.lines.push(line) });

  /** A daemon's life. */
  begin(program: string | undefined = "/opt/lighter/shim"): HostFiles {
    return createHostFiles({ kernel: createKernel(), folder: this.folder, program, log: this.log });
  }

  bundle(id: string): string {
    const path = join(this.folder, "default", id);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** Settles when the log has a text. */
  async told(text: string): Promise<void> {
    while (!this.lines.some((line) => line.includes(text))) await Bun.sleep(1);
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** As any program does. It waits for a reader, which must not be on this loop. */
async function write(bundle: string, text: string): Promise<void> {
  await Bun.spawn(["sh", "-c", 'printf "%s\n" "$1" > "$2/log"', "sh", text, bundle]).exited;
}

function isEpoll(fd: string): boolean {
  try {
    return readlinkSync(`/proc/self/fd/${fd}`) === "anon_inode:[eventpoll]";
  } catch {
    // That of the folder itself, closed by now.
    return false;
  }
}

describe("HostFiles", () => {
  test("bring what is written to a bundle's log into the daemon's, also that of its next life", async () => {
    using bed = new Bed();
    const [one, two] = [bed.bundle("one"), bed.bundle("two")];
    {
      using files = bed.begin();
      await files.link(one);
      await files.link(two);
      await write(one, "first of one");
      await write(two, "level=warning msg=first-of-two");
      await bed.told("first of one");
      await bed.told('level=warning msg="shim" line="level=warning msg=first-of-two"');
    }
    using files = bed.begin();
    await files.open();
    await write(one, "second of one");
    await bed.told("second of one");
  });

  test("leave nothing open when the FIFO cannot be read, however often it is tried", async () => {
    using bed = new Bed();
    mkdirSync(join(bed.folder, ".host/log"), { recursive: true });
    using files = bed.begin();
    const epolls = (): number => readdirSync("/proc/self/fd").filter(isEpoll).length;
    const before = epolls();
    for (let time = 0; time < 5; time++) await files.open();
    expect(bed.lines.filter((line) => line.includes("prepare the files")).length).toBe(5);
    expect(epolls()).toBe(before);
  });

  test("wait for the daemon to come back, as a FIFO does", async () => {
    using bed = new Bed();
    const bundle = bed.bundle("one");
    {
      using files = bed.begin();
      await files.link(bundle);
    }
    const kernel = createKernel();
    expect(() => kernel.open(join(bundle, "log"), openFlags.writeOnly | openFlags.nonBlock)).toThrow(
      "no such device or address",
    );
    const written = write(bundle, "between two lives");
    using files = bed.begin();
    await files.open();
    await written;
    await bed.told("between two lives");
  });

  test("name the program that serves now", async () => {
    using bed = new Bed();
    const bundle = bed.bundle("one");
    {
      using files = bed.begin();
      await files.link(bundle);
    }
    expect(readFileSync(join(bundle, "shim-binary-path"), "utf8")).toBe("/opt/lighter/shim");
    using files = bed.begin("/opt/newer/shim");
    await files.open();
    expect(readFileSync(join(bundle, "shim-binary-path"), "utf8")).toBe("/opt/newer/shim");
    expect(await isOfHost(bundle)).toBe(true);
  });

  test("are not what a shim of the task's own writes", async () => {
    using bed = new Bed();
    const bundle = bed.bundle("one");
    expect(await isOfHost(bundle)).toBe(false);
    writeFileSync(join(bundle, "shim-binary-path"), "/usr/bin/containerd-shim-runc-v2");
    expect(await isOfHost(bundle)).toBe(false);
  });

  test("keep no bundle from being made where they can't be", async () => {
    using bed = new Bed();
    writeFileSync(join(bed.folder, ".host"), "in the way");
    using files = bed.begin();
    await files.link(bed.bundle("one"));
    expect(bed.lines.join("\n")).toContain("prepare the files of the shim host's bundles");
    rmSync(join(bed.folder, ".host"));
    const bundle = bed.bundle("two");
    await files.link(bundle);
    await write(bundle, "late but there");
    await bed.told("late but there");
  });
});
