import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { createWorkspace, run, type Workspace } from "../support/index.ts";
import { program } from "./support.ts";

const unit = "usr/local/lib/systemd/system/lighter.service";
const config = "etc/lighter/config.toml";
const executable = "usr/local/lib/lighter/lighter";
const manifest = "usr/local/lib/lighter/install.json";
const page = "usr/local/share/man/man8/lighterd.8";

describe("lighter install", () => {
  let made: Workspace | undefined;
  let count = 0;
  const source = (): string => path.join(made?.folder ?? "", "the program");
  beforeAll(async () => {
    made = await createWorkspace();
    await fs.writeFile(source(), "#!/bin/sh\necho one\n");
  });
  afterAll(async () => {
    await made?.[Symbol.asyncDispose]();
  });

  /** A system's root of a test's own; its name has a space. */
  const newRoot = async (): Promise<string> => {
    const root = path.join(made?.folder ?? "", `root ${count++}`);
    await fs.mkdir(root);
    return root;
  };
  const failpoint = (): string => path.join(made?.folder ?? "", "failpoint");
  const lighter = (command: "install" | "uninstall", root: string, ...words: string[]) =>
    run([program, command, "--root", root, ...(command === "install" ? ["--program", source()] : []), ...words], {
      env: { LIGHTER_FAILPOINT_FILE: failpoint() },
    });
  const ok = async (command: "install" | "uninstall", root: string, ...words: string[]): Promise<string> => {
    const { code, stdout, stderr } = await lighter(command, root, "--yes", ...words);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    return `${stdout}${stderr}`;
  };
  const actionsOf = async (root: string): Promise<Record<string, string>> => {
    const { stdout } = await lighter("install", root, "--dry-run", "--json");
    const { steps } = JSON.parse(stdout) as { steps: { action: string; path: string }[] };
    return Object.fromEntries(steps.map(({ action, path: file }) => [path.relative(root, file), action]));
  };
  const everything = async (root: string): Promise<string[]> => (await fs.readdir(root, { recursive: true })).sort();

  test("shows what it would write, and writes nothing", async () => {
    const root = await newRoot();
    const { code, stdout } = await lighter("install", root, "--dry-run");
    expect(code).toBe(0);
    expect(stdout).toMatch(/^ACTION +SIZE +PATH/);
    expect(stdout).toContain(`write   link      ${root}/usr/local/bin/lighterd\n`);
    expect(stdout).toContain(`  ${root}/etc/lighter/conf.d\n`);
    expect(await everything(root)).toEqual([]);
    expect(new Set(Object.values(await actionsOf(root)))).toEqual(new Set(["write"]));
  });

  test("does not go on without being told to, where there is nobody to ask", async () => {
    const root = await newRoot();
    const { code, stderr } = await lighter("install", root);
    expect(code).toBe(1);
    expect(stderr).toContain("lighter install --yes");
    expect(await everything(root)).toEqual([]);
  });

  test("installs what starts, has nothing to do the second time, and uninstalls all of it", async () => {
    const root = await newRoot();
    await ok("install", root);
    const started = await run([path.join(root, "usr/local/bin/lighterd")]);
    expect(started).toMatchObject({ code: 0, stdout: "one\n" });
    expect(await fs.readFile(path.join(root, unit), "utf8")).toContain("ExecStart=/usr/local/bin/lighterd\n");
    expect((await fs.stat(path.join(root, "etc/lighter/conf.d"))).mode & 0o777).toBe(0o755);
    const before = await fs.stat(path.join(root, manifest));
    expect(await ok("install", root)).toContain("nothing to do");
    expect((await fs.stat(path.join(root, manifest))).ino).toBe(before.ino);
    expect(await ok("uninstall", root)).toContain(`sudo rm -rf '${root}/var/lib/lighter'`);
    expect(await everything(root)).toEqual([]);
    expect(await ok("uninstall", root)).toContain("nothing to do");
  });

  test("replaces what an older version wrote, and takes away what is no more", async () => {
    const root = await newRoot();
    await ok("install", root);
    const written = JSON.parse(await fs.readFile(path.join(root, manifest), "utf8"));
    const old = "an older unit\n";
    await fs.writeFile(path.join(root, unit), old);
    await fs.writeFile(path.join(root, "usr/local/bin/gone"), old);
    const print = `sha256:${new Bun.CryptoHasher("sha256").update(old).digest("hex")}`;
    Object.assign(written.files, { [`/${unit}`]: [print], "/usr/local/bin/gone": [print] });
    await fs.writeFile(path.join(root, manifest), JSON.stringify(written));
    expect(await actionsOf(root)).toMatchObject({ [unit]: "replace", "usr/local/bin/gone": "remove", [page]: "keep" });
    await ok("install", root);
    expect(await fs.readFile(path.join(root, unit), "utf8")).not.toBe(old);
    expect(await everything(path.join(root, "usr/local/bin"))).not.toContain("gone");
  });

  test("keeps a configuration that was changed, in an install and in an uninstall", async () => {
    const root = await newRoot();
    await ok("install", root);
    await fs.appendFile(path.join(root, config), "# mine\n");
    expect((await actionsOf(root))[config]).toBe("keep");
    await ok("install", root, "--force");
    expect(await fs.readFile(path.join(root, config), "utf8")).toEndWith("# mine\n");
    expect(await ok("uninstall", root)).toContain(`kept, as it was changed: ${root}/${config}`);
    expect(await everything(root)).toEqual(["etc", "etc/lighter", config]);
  });

  test("refuses to replace a file of others and names it; --force replaces it", async () => {
    const root = await newRoot();
    await fs.mkdir(path.join(root, path.dirname(unit)), { recursive: true });
    await fs.writeFile(path.join(root, unit), "of others\n");
    const before = await everything(root);
    const { code, stderr } = await lighter("install", root, "--yes");
    expect(code).toBe(1);
    expect(stderr).toContain(`${root}/${unit} (not lighter's own)`);
    expect(stderr).toContain("--force");
    expect(await everything(root)).toEqual(before);
    expect(await fs.readFile(path.join(root, unit), "utf8")).toBe("of others\n");
    await ok("install", root, "--force");
    expect(await fs.readFile(path.join(root, unit), "utf8")).toContain("ExecStart=");
  });

  test("leaves a file in the uninstall that was there with the same bytes before", async () => {
    const root = await newRoot();
    await fs.mkdir(path.join(root, "usr/local/lib/lighter"), { recursive: true });
    await fs.copyFile(source(), path.join(root, executable));
    await ok("install", root);
    await ok("uninstall", root);
    expect(await everything(root)).toContain(executable);
  });

  test.each(["intent", `/${executable}`, "/usr/local/bin/lighter", `/${page}`, `/${unit}`])(
    "dies after %s, and the next install goes on; or an uninstall leaves nothing",
    async (step) => {
      for (const after of ["install", "uninstall"] as const) {
        const root = await newRoot();
        await fs.writeFile(failpoint(), step);
        expect((await lighter("install", root, "--yes")).code).toBe(137);
        // And in the middle of a file, which no step tells of.
        await fs.writeFile(path.join(root, `${manifest}.lighter-new`), "half");
        await fs.writeFile(path.join(root, `${executable}.lighter-new`), "half");
        if (after === "install") {
          await ok("install", root);
          expect(new Set(Object.values(await actionsOf(root)))).toEqual(new Set(["keep"]));
        }
        await ok("uninstall", root);
        expect(await everything(root)).toEqual([]);
      }
    },
    60_000,
  );

  test("an uninstall that dies is done again", async () => {
    const root = await newRoot();
    await ok("install", root);
    await fs.writeFile(failpoint(), `/${config}`);
    expect((await lighter("uninstall", root, "--yes")).code).toBe(137);
    expect(await everything(root)).toContain(manifest);
    await ok("uninstall", root);
    expect(await everything(root)).toEqual([]);
  });

  test("does not follow a link out of the root", async () => {
    const [root, elsewhere] = [await newRoot(), await newRoot()];
    await fs.mkdir(path.join(root, "usr"));
    await fs.symlink(elsewhere, path.join(root, "usr/local"));
    const { code, stderr } = await lighter("install", root, "--yes");
    expect(code).toBe(1);
    expect(stderr).toContain(`leads out of ${root}`);
    expect(await everything(elsewhere)).toEqual([]);
  });

  test("does not trust what it did not write down itself", async () => {
    const root = await newRoot();
    await ok("install", root);
    await fs.writeFile(path.join(root, manifest), `{"schema":1,"files":{"/../outside":["x"]},"folders":[]}`);
    for (const command of ["install", "uninstall"] as const) {
      const { code, stderr } = await lighter(command, root, "--yes");
      expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining("was not written by this") });
    }
  });
});
