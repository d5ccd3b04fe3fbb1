import { afterAll, beforeAll, describe, expect } from "bun:test";
import { createHash } from "node:crypto";
import fs from "node:fs/promises";
import path from "node:path";
import {
  busyboxImage,
  createWorkspace,
  daemonNeeds,
  importBusybox,
  missing,
  run,
  runOk,
  startLighter,
  testNeeding,
  type Workspace,
} from "../support/index.ts";

const top = path.join(import.meta.dir, "../..");
const buildLimitMs = 180_000;

describe("the Debian package", () => {
  let made: Workspace | undefined;
  let file = "";
  const within = (...names: readonly string[]): string => path.join(made?.folder ?? "", ...names);
  const build = async (folder: string): Promise<string> => {
    const env = { SOURCE_DATE_EPOCH: "1764547200" };
    const options = { env, timeoutMs: buildLimitMs };
    return (await runOk(["sh", path.join(top, "scripts/deb.sh"), folder], options)).trim();
  };
  beforeAll(async () => {
    // Every test is skipped then, and says why.
    if (missing(["dpkg-deb"]) !== undefined) return;
    made = await createWorkspace();
    file = await build(within("one"));
    await runOk(["dpkg-deb", "--raw-extract", file, within("tree")]);
  }, buildLimitMs + 10_000);
  afterAll(async () => {
    await made?.[Symbol.asyncDispose]();
  });

  testNeeding(["dpkg-deb"], "holds what its control files say, for root alone to change", async () => {
    const control = await runOk(["dpkg-deb", "--field", file, "Package", "Architecture", "Depends"]);
    expect(control).toContain("Package: lighter\n");
    expect(control).toContain("crun | runc");
    const list = await runOk(["dpkg-deb", "--contents", file]);
    const entries = list.trim().split("\n");
    expect(entries.filter((line) => !/ root\/root /.test(line))).toEqual([]);
    expect(entries.filter((line) => /^[-d].{4}w|^[-d].{7}w/.test(line))).toEqual([]);
    const pages = ["usr/share/man/man1/lighter.1.gz", "usr/share/man/man8/lighterd.8.gz"];
    for (const name of [
      "usr/bin/lighterd",
      "usr/lib/systemd/system/lighter.service",
      "etc/lighter/config.toml",
      ...pages,
    ])
      expect(list).toContain(` ./${name}`);
    expect(await fs.readFile(within("tree/DEBIAN/conffiles"), "utf8")).toBe("/etc/lighter/config.toml\n");
    expect((await run(["md5sum", "--quiet", "-c", "DEBIAN/md5sums"], { cwd: within("tree") })).code).toBe(0);
    for (const script of ["postinst", "prerm", "postrm"]) await runOk(["sh", "-n", within("tree/DEBIAN", script)]);
  });

  testNeeding(
    ["dpkg-deb"],
    "is the same byte for byte when it is built again",
    async () => {
      const sum = async (one: string): Promise<string> =>
        createHash("sha256")
          .update(await fs.readFile(one))
          .digest("hex");
      expect(await sum(await build(within("two")))).toBe(await sum(file));
    },
    buildLimitMs + 10_000,
  );

  testNeeding(
    [...daemonNeeds(), "ours", "dpkg-deb"],
    "runs containers from where it was unpacked",
    async () => {
      const config = await fs.readFile(within("tree/etc/lighter/config.toml"), "utf8");
      await using daemon = await startLighter({ program: within("tree/usr/bin/lighterd") });
      await importBusybox(daemon);
      const dump = await runOk([
        within("tree/usr/bin/lighterd"),
        "--config",
        within("tree/etc/lighter/config.toml"),
        "config",
        "dump",
      ]);
      expect(config).toContain("version = 4");
      expect(dump).toContain("version = 4");
      const ran = await daemon.ctrOk(["run", "--rm", "--null-io", ...daemon.runtimeFlags, busyboxImage, "c1", "true"]);
      expect(ran).toBe("");
      expect(await fs.readlink(`/proc/${daemon.pid}/exe`)).toBe(within("tree/usr/lib/lighter/lighter"));
    },
    60_000,
  );

  testNeeding(
    ["dpkg-deb", "systemd-analyze"],
    "has units that systemd takes",
    async () => {
      const units = ["lighter.service", "lighter.socket"];
      for (const unit of units) {
        // The program is not where the unit will find it.
        const text = await fs.readFile(path.join(top, "packaging", unit), "utf8");
        await fs.writeFile(within(unit), text.replaceAll("/usr/bin/lighterd", within("tree/usr/bin/lighterd")));
      }
      const { stderr } = await run(["systemd-analyze", "verify", "--man=no", ...units.map((unit) => within(unit))]);
      expect(stderr.split("\n").filter((line) => /lighter\.(service|socket)/.test(line))).toEqual([]);
    },
    30_000,
  );
});
