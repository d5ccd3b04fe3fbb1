import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { lighterOk } from "../cli/support.ts";
import { busyboxImage, runOk, sharedDaemon, writeBusyboxRootfs } from "../support/index.ts";

describe("umoci", () => {
  const shared = sharedDaemon();
  const needs = ["ours", "umoci"] as const;

  shared.test(
    "reads what was exported, and what it makes of that is imported and run",
    async (daemon) => {
      const at = (name: string): string => path.join(daemon.workspace.folder, name);
      await lighterOk(daemon, ["image", "export", "-o", at("ours.tar"), busyboxImage]);
      await fs.mkdir(at("layout"));
      await runOk(["tar", "xf", at("ours.tar"), "-C", at("layout")]);
      expect((await runOk(["umoci", "ls", "--layout", at("layout")])).trim()).toBe("1");

      await runOk(["umoci", "unpack", "--image", `${at("layout")}:1`, at("bundle")]);
      const root = path.join(at("bundle"), "rootfs");
      expect(await fs.readFile(path.join(root, "etc/greeting"), "utf8")).toBe("ahoy from the second layer\n");
      expect(await fs.readlink(path.join(root, "etc/added"))).toBe("greeting");
      expect(await fs.readdir(path.join(root, "etc"))).not.toContain("removed");

      // A layer of umoci's own: one file changed, one removed, one made.
      await fs.writeFile(path.join(root, "etc/greeting"), "ahoy from umoci\n");
      await fs.rm(path.join(root, "etc/added"));
      await fs.writeFile(path.join(root, "etc/new"), "made\n", { mode: 0o600 });
      await runOk(["umoci", "repack", "--image", `${at("layout")}:2`, at("bundle")]);
      const command = ["--config.cmd", "cat", "--config.cmd", "/etc/greeting", "--config.env", "FLAVOUR=raft"];
      await runOk(["umoci", "config", "--image", `${at("layout")}:2`, ...command]);
      await runOk(["umoci", "rm", "--image", `${at("layout")}:1`]);
      await runOk(["umoci", "gc", "--layout", at("layout")]);
      await runOk(["tar", "cf", at("theirs.tar"), "-C", at("layout"), "."]);

      // umoci keeps what we noted of the name, and containerd goes by that as well.
      const imported = await lighterOk(daemon, ["image", "import", at("theirs.tar")]);
      expect(imported).toStartWith(`${busyboxImage}  sha256:`);
      const name = busyboxImage;
      expect(await lighterOk(daemon, ["run", "--rm", name])).toBe("ahoy from umoci\n");
      const look = "ls /etc; stat -c %a /etc/new; echo $FLAVOUR";
      const seen = (await lighterOk(daemon, ["run", "--rm", name, "sh", "-c", look])).trim().split("\n");
      expect(seen).toEqual(expect.arrayContaining(["greeting", "group", "new", "passwd", "600", "raft"]));
      expect(seen).not.toContain("added");
    },
    { needs, timeoutMs: 90_000 },
  );

  shared.test(
    "makes an image from nothing, which gets its name when it is imported",
    async (daemon) => {
      const at = (name: string): string => path.join(daemon.workspace.folder, name);
      const image = `${at("new")}:5`;
      await runOk(["umoci", "init", "--layout", at("new")]);
      await runOk(["umoci", "new", "--image", image]);
      await runOk(["umoci", "unpack", "--image", image, at("empty")]);
      await writeBusyboxRootfs(path.join(at("empty"), "rootfs"));
      await runOk(["umoci", "repack", "--image", image, at("empty")]);
      await runOk(["umoci", "config", "--image", image, "--config.cmd", "/bin/hostname", "--config.user", "sailor"]);
      // A layer whose archive ends with its last file's last byte: no padding, no end mark.
      await fs.writeFile(at("note"), "inserted\n");
      await runOk(["umoci", "insert", "--image", image, at("note"), "/note"]);
      await runOk(["tar", "czf", at("new.tar.gz"), "-C", at("new"), "."]);
      const words = ["image", "import", "--name", "lighter.test/raft", at("new.tar.gz")];
      expect(await lighterOk(daemon, words)).toStartWith("lighter.test/raft:5  sha256:");
      expect(await lighterOk(daemon, ["run", "--rm", "lighter.test/raft:5", "id", "-u"])).toBe("1000\n");
      expect(await lighterOk(daemon, ["run", "--rm", "lighter.test/raft:5", "cat", "/note"])).toBe("inserted\n");
    },
    { needs, timeoutMs: 90_000 },
  );
});
