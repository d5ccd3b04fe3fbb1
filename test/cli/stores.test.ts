import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { System } from "../../src/gen/lighter/system/v1/system_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import {
  busyboxImage,
  collectsWhenAsked,
  type Daemon,
  runInTerminal,
  runOk,
  sharedDaemon,
  waitFor,
} from "../support/index.ts";
import { environment, lighter, lighterOk, program } from "./support.ts";

type Row = Readonly<Record<string, unknown>> & { readonly kind: string; readonly digest: string };

const readJson = async (daemon: Daemon, args: readonly string[]): Promise<Row[]> =>
  JSON.parse(await lighterOk(daemon, [...args, "--json"]));

describe("lighter and the stores", () => {
  // What a test puts in and holds by nothing yet must not go before it is held.
  const shared = sharedDaemon({ config: collectsWhenAsked });
  const keyOf = (kind: string, rows: readonly Row[]): string => rows.find((row) => row.kind === kind)?.digest ?? "";

  shared.test("content: what each blob is and who needs it; put in, labelled, read and removed", async (daemon) => {
    // The archive's index, which nothing holds once the import is over.
    await lighterOk(daemon, ["system", "gc"]);
    const rows = await readJson(daemon, ["content", "ls"]);
    expect(rows.map(({ kind }) => kind).toSorted((a, b) => (a < b ? -1 : 1))).toEqual([
      "config",
      "layer",
      "layer",
      "manifest",
    ]);
    for (const { usedBy } of rows) expect(usedBy).toEqual([{ kind: "image", key: busyboxImage }]);
    const layer = keyOf("layer", rows);
    const refused = await lighter(daemon, ["content", "rm", layer.slice(7, 19)]);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining(`is needed by image ${busyboxImage}`) });

    const file = path.join(daemon.workspace.folder, "note");
    await fs.writeFile(file, "some words");
    const digest = (await lighterOk(daemon, ["content", "ingest", "--keep", file])).trim();
    const label = ["content", "label", digest.slice(0, 20)];
    expect(await lighterOk(daemon, [...label, "a=b"])).toContain("a=b\n");
    expect(await lighterOk(daemon, [...label, "a-"])).not.toContain("a=b");
    expect(await lighterOk(daemon, ["content", "get", digest.slice(7, 20)])).toBe("some words");
    const wrong = await lighter(daemon, ["content", "ingest", "--expected", digest, "-"], { input: "other words" });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining(`not ${digest}`) });
    expect(await lighterOk(daemon, ["system", "gc", "--explain", digest])).toContain("containerd.io/gc.root");
    expect(await lighterOk(daemon, ["content", "rm", digest])).toBe(`${digest}\n`);
    expect(await lighterOk(daemon, ["content", "active", "-q"])).toBe("");
  });

  shared.test("lease: keeps a blob until it is removed, and explain tells of it", async (daemon) => {
    const id = (await lighterOk(daemon, ["lease", "create", "-x", "1h"])).trim();
    const digest = (await lighterOk(daemon, ["content", "ingest", "-"], "leased")).trim();
    await lighterOk(daemon, ["lease", "add", id, `content:${digest}`]);
    await lighterOk(daemon, ["system", "gc"]);
    expect((await readJson(daemon, ["lease", "resources", id]))[0]).toMatchObject({
      kind: "content",
      key: digest,
      sizeBytes: 6,
    });
    expect(await lighterOk(daemon, ["system", "gc", "--explain", digest])).toMatch(
      /is kept:\n {2}lease .*\n {2}└─ keeps content/,
    );
    const second = (await lighterOk(daemon, ["lease", "create", "-x", "1h"])).trim();
    await lighterOk(daemon, ["lease", "add", second, `content:${digest}`]);
    expect(await lighterOk(daemon, ["system", "gc", "--explain", digest])).toMatch(
      / {2}lease (\S+) keeps it too\n {2}lighter lease rm (?!\1)\S+ alone does not let go of it\n/,
    );
    await lighterOk(daemon, ["lease", "rm", "--sync", second]);
    expect(await lighterOk(daemon, ["system", "gc", "--explain", digest])).toEndWith(
      `  lighter lease rm ${id} lets go of it\n`,
    );
    expect(await lighterOk(daemon, ["lease", "ls"])).toMatch(new RegExp(`${id} +1 +6 B`));
    await lighterOk(daemon, ["lease", "rm", "--sync", id]);
    expect(await lighter(daemon, ["content", "get", digest])).toMatchObject({ code: 1 });
  });

  shared.test("snapshot: written into through a mount, compared, committed, built upon", async (daemon) => {
    const folder = path.join(daemon.workspace.folder, "mnt");
    await lighterOk(daemon, ["image", "mount", "--rw", busyboxImage, folder]);
    await fs.writeFile(path.join(folder, "new-file"), "x");
    expect((await readJson(daemon, ["image", "mount"]))[0]).toMatchObject({
      image: busyboxImage,
      folder,
      writable: true,
    });
    await lighterOk(daemon, ["image", "unmount", folder]);
    expect(await fs.readdir(folder)).toEqual([]);
    const diff = path.join(daemon.workspace.folder, "diff.tar");
    await lighterOk(daemon, ["snapshot", "diff", "--compress", "none", "-o", diff, folder]);
    expect(await runOk(["tar", "-tf", diff])).toBe("new-file\n");
    await lighterOk(daemon, ["snapshot", "commit", "tools", folder]);
    await lighterOk(daemon, ["snapshot", "prepare", "work", "tools"]);
    expect(await lighterOk(daemon, ["snapshot", "tree"])).toMatch(/\n {3}└─ tools .*\n {6}└─ work \(active\)/);
    expect(await lighter(daemon, ["snapshot", "rm", "tools"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("others stand on it"),
    });
    expect(await lighterOk(daemon, ["snapshot", "mounts", "work", "/mnt"])).toStartWith(
      "mount -t overlay overlay /mnt -o ",
    );
    expect(await lighterOk(daemon, ["snapshot", "rm", "work", "tools"])).toBe("work\ntools\n");
  });

  shared.test("image: exported for others to read, converted and run, damage is found", async (daemon) => {
    const archive = path.join(daemon.workspace.folder, "out.tar");
    await lighterOk(daemon, ["image", "export", "-o", archive, busyboxImage]);
    await lighterOk(daemon, ["image", "export", "-o", `${archive}.gz`, busyboxImage]);
    expect(await lighterOk(daemon, ["image", "import", `${archive}.gz`])).toContain(busyboxImage);
    await daemon.ctrOk(["images", "import", "--base-name", "again", archive]);
    const wrong = await lighter(daemon, ["image", "export", "--platform", "linux/s390x", "-o", archive, busyboxImage]);
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("is for linux/") });

    await lighterOk(daemon, ["image", "convert", "--zstd", busyboxImage, "box:zstd"]);
    expect(await lighterOk(daemon, ["run", "--rm", "box:zstd", "echo", "ahoy"])).toBe("ahoy\n");
    expect(await lighter(daemon, ["image", "check", "--deep"])).toMatchObject({ code: 0 });
    const rows = await readJson(daemon, ["content", "ls"]);
    const layer = rows.find(({ kind, usedBy }) => kind === "layer" && JSON.stringify(usedBy).includes("box:zstd"));
    const blob = path.join(
      daemon.root,
      "io.containerd.content.v1.content/blobs",
      (layer?.digest ?? "").replace(":", "/"),
    );
    const bytes = await fs.readFile(blob);
    await fs.chmod(blob, 0o644);
    await fs.writeFile(
      blob,
      bytes.map((byte, i) => (i === 9 ? byte ^ 1 : byte)),
    );
    for (const args of [
      ["image", "check", "--deep"],
      ["system", "check", "--deep"],
    ]) {
      expect(await lighter(daemon, args)).toMatchObject({ code: 1 });
    }
    await fs.rm(blob);
    for (const args of [
      ["image", "check"],
      ["system", "check"],
    ]) {
      expect(await lighter(daemon, args)).toMatchObject({ code: 1 });
    }
    await lighterOk(daemon, ["image", "rm", "--sync", "box:zstd"]);
    expect(await lighterOk(daemon, ["system", "check"])).toContain("all is well");
  });

  shared.test("system: df agrees with the daemon's own count, prune asks and frees what it said", async (daemon) => {
    await lighterOk(daemon, [
      "run",
      "--name",
      "ended",
      busyboxImage,
      "dd",
      "if=/dev/zero",
      "of=/f",
      "bs=1M",
      "count=2",
    ]);
    await lighterOk(daemon, ["image", "tag", busyboxImage, "unused:1"]);
    await lighterOk(daemon, ["system", "gc"]);
    const report = JSON.parse(await lighterOk(daemon, ["system", "df", "-v", "--json"]));
    await using connection = await connectGrpc({ path: daemon.address });
    const usage = await connection.client(System, { namespace: daemon.namespace }).diskUsage({});
    for (const { object, size, objects } of usage.holders.filter((one) => one.object?.kind === "image")) {
      const mine = report.holders.find((one: { name: string }) => one.name === object?.key);
      expect(mine).toMatchObject({ sizeBytes: Number(size), objects: Number(objects) - 1 });
    }
    expect(report.leftovers.length).toBe(Number(usage.unusedObjects));
    expect(report.rows[1]).toMatchObject({ type: "Containers", count: 1, inUse: 0 });
    expect(report.rows[1].reclaimableBytes).toBeGreaterThan(2_000_000);

    expect(await lighter(daemon, ["system", "prune"])).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("--force"),
    });
    const session = runInTerminal([program, "system", "prune", "-a"], { env: environment(daemon) });
    await waitFor("the question", () => session.output().includes("[y/N]"));
    expect(session.output()).toMatch(/1 stopped container:\r\n {2}ended/);
    session.type("n\r");
    expect(await session.exited).toBe(1);
    const { freedBytes: planned } = JSON.parse(
      await lighterOk(daemon, ["system", "prune", "-a", "--dry-run", "--json"]),
    );
    const done = JSON.parse(await lighterOk(daemon, ["system", "prune", "-af", "--json"]));
    expect(done).toMatchObject({ containers: ["ended"], freedBytes: planned });
    expect(await readJson(daemon, ["content", "ls"])).toEqual([]);
    expect(await lighterOk(daemon, ["system", "check", "--strict"])).toContain("all is well: looked at 0 blobs");
  });
});
