import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { busyboxImage, runOk, sharedDaemon, waitFor, writeBusyboxRootfs } from "../support/index.ts";
import { lighter, lighterOk } from "./support.ts";

describe("lighter on a full disk", () => {
  const shared = sharedDaemon();

  shared.test(
    "says what to do, lets containers go on, and loses nothing",
    async (daemon) => {
      const tree = path.join(daemon.workspace.folder, "tree");
      await writeBusyboxRootfs(tree);
      await daemon.stop();
      await runOk(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", daemon.root]);
      try {
        await daemon.start();
        await lighterOk(daemon, ["image", "from-rootfs", tree, "box"]);
        const script = "trap 'exit 7' TERM; echo ready; while :; do sleep 0.05; done";
        await lighterOk(daemon, ["run", "-d", "--name", "afloat", "box", "sh", "-c", script]);
        await waitFor("its first word", async () => (await lighterOk(daemon, ["logs", "afloat"])) === "ready\n");
        const fill = path.join(daemon.root, "fill");
        // To the last block, and then to the last byte.
        for (const bs of ["64k", "512"]) {
          await runOk(["sh", "-c", `dd if=/dev/zero bs=${bs} >> ${fill} 2>/dev/null || true`]);
        }
        for (const words of [
          ["run", "--rm", "box", "true"],
          ["ns", "create", "other"],
          ["image", "tag", "box", "b2"],
        ]) {
          const result = await lighter(daemon, words);
          expect(result.code, words.join(" ")).not.toBe(0);
          expect(result.stderr).toMatch(/make room on the disk and try again; nothing was lost|the disk is full/);
        }
        expect(await lighterOk(daemon, ["exec", "afloat", "echo", "works"])).toBe("works\n");
        expect((await lighter(daemon, ["stop", "afloat"])).stderr).toContain("nothing was lost");
        expect(await lighterOk(daemon, ["ps", "-a"])).toMatch(/^afloat .* Exited \(7\) /m);
        await fs.rm(fill);
        expect(await lighterOk(daemon, ["stop", "afloat"])).toBe("afloat\n");
        expect(await lighterOk(daemon, ["ps", "-a"])).toMatch(/^afloat .* Exited \(7\) /m);
        expect(await lighterOk(daemon, ["run", "--rm", "box", "echo", "sound"])).toBe("sound\n");
        expect(await lighterOk(daemon, ["system", "check"])).toContain("all is well");
        await lighterOk(daemon, ["rm", "afloat"]);
      } finally {
        await daemon.stop();
        await runOk(["umount", "-l", daemon.root]);
        await daemon.start();
      }
      expect(await lighterOk(daemon, ["run", "--rm", busyboxImage, "echo", "sound"])).toBe("sound\n");
    },
    { needs: ["ours"] },
  );
});
