import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createKernel, type Fd, openFlags } from "../../sys/index.ts";
import { untilOutputIsRead } from "./unread-output.ts";

const kernel = createKernel();
let folder = "";
let opened: Fd[] = [];
beforeEach(() => {
  folder = mkdtempSync("/tmp/lighter-unread-");
});
afterEach(() => {
  for (const fd of opened) kernel.close(fd);
  opened = [];
  rmSync(folder, { recursive: true, force: true });
});

/** A FIFO with so many bytes in it, and its reader. */
function fifo(name: string, bytes: number): { path: string; read: () => number } {
  const path = join(folder, name);
  kernel.mkfifo(path, 0o600);
  const reader = kernel.open(path, openFlags.readOnly | openFlags.nonBlock);
  opened.push(reader);
  const writer = kernel.open(path, openFlags.writeOnly | openFlags.nonBlock);
  if (bytes > 0) kernel.write(writer, new Uint8Array(bytes));
  kernel.close(writer);
  return { path, read: () => kernel.readNow(reader, new Uint8Array(1 << 16)) ?? -1 };
}

/** Waits by a clock of its own, and does something at each pause; answers the pauses. */
async function wait(
  stdio: { stdout?: string; stderr?: string; terminal?: boolean },
  atPause: (count: number) => void = () => {},
): Promise<readonly number[]> {
  const pauses: number[] = [];
  let clock = 0;
  const pause = async (ms: number): Promise<void> => {
    clock += ms;
    pauses.push(ms);
    atPause(pauses.length);
  };
  await untilOutputIsRead(kernel, { stdout: "", stderr: "", terminal: false, ...stdio }, { now: () => clock, pause });
  return pauses;
}

describe("untilOutputIsRead", () => {
  test("waits for a reader that has not taken all, and lets it see the end", async () => {
    const [out, err] = [fifo("out", 5000), fifo("err", 10)];
    const taken: number[] = [];
    const pauses = await wait({ stdout: out.path, stderr: `fifo://${err.path}` }, (count) => {
      if (count === 2) taken.push(out.read(), out.read());
      if (count === 4) taken.push(err.read(), err.read());
    });
    // The zeros are ends: nobody has it open for writing meanwhile.
    expect([pauses, taken]).toEqual([
      [1, 2, 4, 8],
      [5000, 0, 10, 0],
    ]);
  });

  test("waits a second, and no longer", async () => {
    const pauses = await wait({ stdout: fifo("out", 1).path });
    expect(pauses.reduce((sum, ms) => sum + ms, 0)).toBeWithin(1000, 1033);
    expect(pauses.length).toBeLessThan(50);
  });

  test("does not wait for what is read, for nobody, and for what is no FIFO", async () => {
    const read = fifo("read", 0).path;
    const unread = fifo("unread", 7).path;
    for (const fd of opened.splice(0)) kernel.close(fd);
    const file = join(folder, "file");
    writeFileSync(file, "text");
    const addresses = [
      read,
      unread,
      file,
      `file://${file}`,
      "binary:///bin/true",
      "/dev/null",
      join(file, "x"),
      "",
      folder,
    ];
    for (const stdout of addresses) expect([stdout, await wait({ stdout })]).toEqual([stdout, []]);
    // A terminal has one output.
    const err = fifo("err", 7).path;
    expect(await wait({ stderr: err, terminal: true })).toEqual([]);
    expect((await wait({ stderr: err })).length).toBeGreaterThan(1);
  });

  test.each(["file:///f", "binary:///b"])(
    "looks at no stderr beside %s, whose address nobody has read",
    async (stdout) => {
      for (const stderr of [fifo("err", 7).path, "odd://x"]) expect(await wait({ stdout, stderr })).toEqual([]);
      expect(await wait({ stderr: "odd://x", terminal: true })).toEqual([]);
    },
  );
});
