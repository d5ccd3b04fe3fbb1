import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { failureText } from "../../lib/fault-testing.ts";
import { silentLogger } from "../../lib/log.ts";
import { createKernel } from "../../sys/index.ts";
import { createListeners } from "./listeners.ts";

const kernel = createKernel();
const access = { mode: 0o660, uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
const folder = mkdtempSync(join(tmpdir(), "ll-"));
afterAll(() => rmSync(folder, { recursive: true }));

/** Sockets of a daemon, and what it has open of them. */
function bedOf() {
  const stack = new DisposableStack();
  const listeners = stack.use(createListeners({ inherited: [], from: "a service manager", kernel, log: silentLogger }));
  const own = (fd: number): number => stack.adopt(fd, (one) => kernel.close(one));
  const open = async (path: string): Promise<number> => own(await listeners.open(path, access));
  const openTcp = (name: string, port: number): number => own(listeners.openTcp(name, "127.0.0.1", port));
  return { listeners, open, openTcp, [Symbol.dispose]: () => stack.dispose() };
}

const taken = /^failedPrecondition: another server of this daemon listens on (\S+) already/;

describe("a socket of the daemon's", () => {
  test("is one server's alone, until the daemon starts again", async () => {
    using bed = bedOf();
    const path = join(folder, "s.sock");
    await bed.open(path);
    expect(taken.exec(await failureText(() => bed.open(path)))?.[1]).toBe(path);
    bed.listeners.dropUnclaimed();
    await bed.open(path);
  });

  test("of TCP is one server's alone, too, and a port of the kernel's choice everybody's own", async () => {
    using bed = bedOf();
    const place = kernel.listeningAddress(bed.openTcp("metrics", 0)) ?? "";
    const other = kernel.listeningAddress(bed.openTcp("debug", 0)) ?? "";
    expect(other).not.toBe(place);
    const port = Number(place.split(":").at(-1));
    expect(taken.exec(await failureText(() => bed.openTcp("debug", port)))?.[1]).toBe(place);
    bed.listeners.dropUnclaimed();
    expect(kernel.listeningAddress(bed.openTcp("metrics", 0))).toBe(place);
  });
});
