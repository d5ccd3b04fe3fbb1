import { expect } from "bun:test";
import { busyboxImage, startContainerd, testNeeding, writeBusyboxImage } from "../support/index.ts";
import { lighter, lighterOk } from "./support.ts";

testNeeding(
  ["root", "ctr", "containerd", "busybox", "overlayfs", "runc"],
  "the lighter command drives containerd too",
  async () => {
    await using daemon = await startContainerd();
    const archive = await writeBusyboxImage(`${daemon.workspace.folder}/busybox.tar`);
    expect(await lighterOk(daemon, ["image", "import", archive])).toContain(busyboxImage);
    expect(await lighter(daemon, ["run", "--rm", busyboxImage, "sh", "-c", "echo out; exit 4"])).toMatchObject({
      code: 4,
      stdout: "out\n",
    });
    expect((await lighter(daemon, ["run", "--rm", busyboxImage, "nosuch"])).code).toBe(127);
    expect(await lighter(daemon, ["run", "--rm", "--runtime", "nosuch", busyboxImage, "true"])).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("nosuch is not installed"),
    });
    await lighterOk(daemon, ["run", "-d", "--name", "c1", busyboxImage, "sh", "-c", "echo logged; sleep 100"]);
    expect(await lighterOk(daemon, ["ps"])).toMatch(/^c1 .* Up /m);
    expect(await lighterOk(daemon, ["exec", "c1", "id", "-u"])).toBe("0\n");
    expect(await lighterOk(daemon, ["logs", "c1"])).toBe("logged\n");
    await lighterOk(daemon, ["pause", "c1"]);
    expect(await lighterOk(daemon, ["ps"])).toContain("(Paused)");
    await lighterOk(daemon, ["resume", "c1"]);
    expect(await lighterOk(daemon, ["stats", "--no-stream"])).toContain("c1 ");
    await lighterOk(daemon, ["stop", "-t", "0", "c1"]);
    expect(await lighterOk(daemon, ["wait", "c1"])).toBe("137\n");
    expect((await lighter(daemon, ["events", "--since", "1h"])).stderr).toContain(
      "hint: containerd tells only of what",
    );
    expect((await lighter(daemon, ["checkpoint", "ls"])).stderr).toContain("hint: named checkpoints need lighterd");
    await lighterOk(daemon, ["rm", "c1"]);
    expect(await daemon.ctrOk(["snapshots", "ls"])).not.toMatch(/^c1 /m);
    expect(await daemon.ctrOk(["leases", "ls", "-q"])).toBe("");
  },
);
