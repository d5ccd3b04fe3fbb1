import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, type Daemon, runOk, sharedDaemon } from "../support/index.ts";
import { packTar } from "../support/tar.ts";
import { lighter, lighterOk } from "./support.ts";

const shared = sharedDaemon();

async function containerOf(daemon: Daemon): Promise<string> {
  const id = shared.newId();
  await lighterOk(daemon, ["create", "--name", id, busyboxImage, "sleep", "1000"]);
  return id;
}

/** A folder of this machine's with some files, and another that is empty. */
async function folders(daemon: Daemon): Promise<{ readonly from: string; readonly to: string }> {
  const top = await fs.mkdtemp(path.join(daemon.workspace.folder, "cp-"));
  const [from, to] = [path.join(top, "from"), path.join(top, "to")];
  await fs.mkdir(path.join(from, "deep"), { recursive: true });
  await fs.mkdir(to);
  await fs.writeFile(path.join(from, "a b's"), "one", { mode: 0o640 });
  await fs.writeFile(path.join(from, "deep/big"), Buffer.alloc(3 << 20, "x"));
  await fs.symlink("a b's", path.join(from, "link"));
  return { from, to };
}

const treeOf = async (folder: string): Promise<string[]> =>
  (await runOk(["find", folder, "-mindepth", "1", "-printf", "%y %P %l\n"]))
    .split("\n")
    .filter(Boolean)
    .map((line) => line.trim())
    .sort();
const fullTree = ["d deep", "f a b's", "f deep/big", "l link a b's"];

describe("lighter cp", () => {
  shared.test(
    "folders go in and come out whole, under their own name or another",
    async (daemon) => {
      const id = await containerOf(daemon);
      const { from, to } = await folders(daemon);
      const { stderr, code } = await lighter(daemon, ["cp", from, `${id}:/root`]);
      expect([code, stderr]).toEqual([0, expect.stringMatching(/^copied 3\.\d+ MiB to c\d+:\/root\n$/)]);
      await lighterOk(daemon, ["cp", "-q", from, `${id}:/renamed`]);
      await lighterOk(daemon, ["cp", "-q", `${from}/.`, `${id}:/renamed`]);
      await lighterOk(daemon, ["cp", "-q", `${id}:/root/from`, to]);
      await lighterOk(daemon, ["cp", "-q", `${id}:renamed`, `${to}/fresh`]);
      await lighterOk(daemon, ["cp", "-q", `${id}:/renamed/.`, to]);
      expect(await treeOf(path.join(to, "from"))).toEqual(fullTree);
      expect(await treeOf(path.join(to, "fresh"))).toEqual(fullTree);
      expect((await treeOf(to)).filter((line) => !/ (?:from|fresh)/.test(line))).toEqual(fullTree);
      const mode = (await fs.stat(path.join(to, "from/a b's"))).mode & 0o777;
      expect([mode, await fs.readFile(path.join(to, "from/a b's"), "utf8")]).toEqual([0o640, "one"]);
    },
    { timeoutMs: 90_000 },
  );

  shared.test(
    "files go into folders, replace files, and get other names; -L follows links",
    async (daemon) => {
      const id = await containerOf(daemon);
      const { from, to } = await folders(daemon);
      const file = path.join(from, "a b's");
      await lighterOk(daemon, ["cp", "-q", file, `${id}:/tmp/`]);
      await lighterOk(daemon, ["cp", "-q", path.join(from, "link"), `${id}:/tmp`]);
      await lighterOk(daemon, ["cp", "-q", "-L", path.join(from, "link"), `${id}:/tmp/plain`]);
      await lighterOk(daemon, ["cp", "-q", file, `${id}:/etc/named`]);
      await fs.writeFile(path.join(to, "there"), "older");
      await lighterOk(daemon, ["cp", "-q", `${id}:/etc/named`, path.join(to, "there")]);
      await lighterOk(daemon, ["cp", "-q", `${id}:/tmp/link`, to]);
      await lighterOk(daemon, ["cp", "-q", "-L", `${id}:/tmp/link`, path.join(to, "followed")]);
      await lighterOk(daemon, ["cp", "-q", `${id}:/tmp/plain`, to]);
      expect(await treeOf(to)).toEqual(["f followed", "f plain", "f there", "l link a b's"]);
      for (const name of ["there", "followed", "plain"]) {
        expect(await fs.readFile(path.join(to, name), "utf8")).toBe("one");
      }
    },
    { timeoutMs: 90_000 },
  );

  shared.test(
    "- is a tar archive, and -a keeps owners",
    async (daemon) => {
      const id = await containerOf(daemon);
      const { from, to } = await folders(daemon);
      const archive = packTar([
        { path: "in", type: "folder" },
        { path: "in/side", content: "salt" },
      ]);
      expect((await lighter(daemon, ["cp", "-", `${id}:/tmp`], { input: archive })).code).toBe(0);
      const file = path.join(to, "out.tar");
      await Bun.write(file, await lighterOk(daemon, ["cp", `${id}:/tmp/in`, "-"]));
      expect(await runOk(["tar", "-tf", file])).toBe("in/\nin/side\n");
      await fs.chown(path.join(from, "a b's"), 1234, 4321);
      for (const [flags, owner] of [
        [["-q"], "0:0"],
        [["-qa"], "1234:4321"],
      ] as const) {
        await lighterOk(daemon, ["cp", ...flags, path.join(from, "a b's"), `${id}:/tmp/owned`]);
        await lighterOk(daemon, ["cp", "-qa", `${id}:/tmp/owned`, path.join(to, "owned")]);
        const { uid, gid } = await fs.stat(path.join(to, "owned"));
        expect(`${uid}:${gid}`).toBe(owner);
      }
    },
    { timeoutMs: 90_000 },
  );

  shared.test(
    "says what is wrong",
    async (daemon) => {
      const id = await containerOf(daemon);
      const { from, to } = await folders(daemon);
      const file = path.join(from, "a b's");
      await lighterOk(daemon, ["cp", "-q", file, `${id}:/tmp/file`]);
      const cases: [string[], RegExp][] = [
        [[`${id}:/a`, `${id}:/b`], /both are in containers/],
        [[from, to], /neither is in a container/],
        [[`${id}:/none`, to], /path "\/none" in the container: not found/],
        [["nobody:/etc", to], /container "nobody": not found/],
        [[path.join(to, "none"), `${id}:/tmp`], /no such file or folder/],
        [[from, `${id}:/tmp/file`], /a folder can't replace a file/],
        [[`${id}:/etc`, file], /a folder can't replace a file/],
        [[file, `${id}:/none/`], /no such folder/],
        [[file, `${id}:/none/x`], /path "\/none" in the container: not found/],
        [[`${id}:/tmp/file`, path.join(to, "none/x")], /no such folder/],
        [["-", `${id}:/tmp/file`], /path "\/tmp\/file" is not a folder/],
      ];
      for (const [words, message] of cases) {
        const { code, stderr } = await lighter(daemon, ["cp", ...words], { input: packTar([]) });
        expect([words, code === 0, stderr]).toEqual([words, false, expect.stringMatching(message)]);
      }
      expect(await fs.readdir(to)).toEqual([]);
    },
    { timeoutMs: 90_000 },
  );
});
