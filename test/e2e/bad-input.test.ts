import { describe, expect } from "bun:test";
import fs from "node:fs/promises";
import net from "node:net";
import path from "node:path";
import { busyboxImage, type Daemon, type RuntimeName, run, runOk, sharedDaemon } from "../support/index.ts";

const runtimes: readonly RuntimeName[] = ["runc", "crun"];
const bin = path.resolve(import.meta.dir, "../../bin");

describe.each(runtimes)("bad input on %s", (runtime) => {
  const shared = sharedDaemon({ runtime });

  /** After any refusal: no task is left, the container can go, and the next one runs. */
  const expectUnharmed = async (daemon: Daemon, id?: string): Promise<void> => {
    expect((await daemon.ctrOk(["tasks", "ls", "-q"])).trim()).toBe("");
    if (id !== undefined) await daemon.ctr(["containers", "rm", id]);
    const args = ["run", "--rm", ...daemon.runtimeFlags, busyboxImage, shared.newId(), "echo", "sound"];
    expect(await daemon.ctrOk(args)).toBe("sound\n");
  };

  shared.test("an id that is none is refused with containerd's words", async (daemon) => {
    for (const id of ["with space", "../up", "-dash", "x".repeat(77)]) {
      const result = await daemon.ctr(["containers", "create", busyboxImage, "--", id, "true"]);
      expect(result.code).not.toBe(0);
    }
    const result = await daemon.ctr(["run", ...daemon.runtimeFlags, busyboxImage, "a/b", "true"]);
    expect(result.stderr).toContain('identifier "a/b" must match');
    await expectUnharmed(daemon);
  });

  shared.test("an image that is not there is named", async (daemon) => {
    const result = await daemon.ctr(["run", ...daemon.runtimeFlags, "lighter.test/missing:1", shared.newId(), "true"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain('image "lighter.test/missing:1": not found');
    await expectUnharmed(daemon);
  });

  shared.test("a program that is not there brings the runtime's own words", async (daemon) => {
    const id = shared.newId();
    const result = await daemon.ctr(["run", ...daemon.runtimeFlags, busyboxImage, id, "/no/such/program"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("/no/such/program");
    expect(result.stderr).toMatch(/no such file or directory|not found/i);
    await expectUnharmed(daemon, id);
  });

  shared.test("a mount whose source is not there brings the runtime's own words", async (daemon) => {
    const id = shared.newId();
    const mount = "type=bind,src=/no/such/folder,dst=/hold,options=rbind:ro";
    const result = await daemon.ctr(["run", ...daemon.runtimeFlags, "--mount", mount, busyboxImage, id, "true"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("/no/such/folder");
    await expectUnharmed(daemon, id);
  });

  shared.test("a runtime that is not there is named", async (daemon) => {
    const id = shared.newId();
    const result = await daemon.ctr(["run", "--runc-binary", "/no/such/runtime", busyboxImage, id, "true"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toMatch(/\/no\/such\/runtime.*(no such file|not found)/);
    await expectUnharmed(daemon, id);
  });

  shared.test("a shim that is not there is named", async (daemon) => {
    const id = shared.newId();
    const result = await daemon.ctr(["run", "--runtime", "io.containerd.nosuch.v9", busyboxImage, id, "true"]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("io.containerd.nosuch.v9");
    await expectUnharmed(daemon, id);
  });

  shared.test("a spec without a process is refused and leaves nothing", async (daemon) => {
    const id = shared.newId();
    const file = path.join(daemon.workspace.folder, "config.json");
    await fs.writeFile(file, JSON.stringify({ ociVersion: "1.0.2", root: { path: "rootfs" } }));
    const result = await daemon.ctr(["run", ...daemon.runtimeFlags, "--config", file, id]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).not.toBe("");
    await expectUnharmed(daemon, id);
  });

  shared.test("a second task of one container is refused", async (daemon) => {
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, "sleep", "100"]);
    const result = await daemon.ctr(["tasks", "start", "--null-io", "-d", id]);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("already exists");
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await expectUnharmed(daemon, id);
  });

  shared.test("calls on a task that is not there are not found", async (daemon) => {
    for (const args of [["pause"], ["resume"], ["metrics"], ["ps"], ["kill"], ["rm"]]) {
      const result = await daemon.ctr(["tasks", ...args, "nobody"]);
      expect(result.stderr).toContain("not found");
    }
  });

  shared.test("an exec with a taken id is refused", async (daemon) => {
    const id = shared.newId();
    await daemon.ctrOk(["run", "-d", "--null-io", ...daemon.runtimeFlags, busyboxImage, id, "sleep", "100"]);
    const exec = ["tasks", "exec", "-d", "--exec-id", "taken", id, "sleep", "100"];
    await daemon.ctrOk(exec);
    const result = await daemon.ctr(exec);
    expect(result.code).not.toBe(0);
    expect(result.stderr).toContain("already exists");
    await daemon.ctrOk(["tasks", "rm", "-f", id]);
    await expectUnharmed(daemon, id);
  });
});

describe("bad input to the daemon itself", () => {
  const shared = sharedDaemon();

  shared.test("bytes that are no HTTP/2 close that connection and no other", async (daemon) => {
    await new Promise<void>((resolve, reject) => {
      const socket = net.connect(daemon.address, () => socket.write(`GET / HTTP/1.0\r\n\r\n${"x".repeat(64)}`));
      socket.on("close", () => resolve());
      socket.on("error", (error: NodeJS.ErrnoException) => (error.code === "ECONNRESET" ? resolve() : reject(error)));
      socket.resume();
    });
    expect((await daemon.ctr(["version"])).code).toBe(0);
  });

  shared.test(
    "a second daemon on the same root is refused by a lock",
    async (daemon) => {
      const flags = ["--root", daemon.root, "--state", `${daemon.state}2`, "--address", `${daemon.address}2`];
      const result = await run([path.join(bin, "lighterd"), ...flags], { timeoutMs: 20_000 });
      expect(result.code).not.toBe(0);
      expect(result.stderr).toContain(daemon.root);
      expect((await daemon.ctr(["version"])).code).toBe(0);
    },
    { needs: ["ours"] },
  );

  shared.test(
    "a socket on which a daemon answers is not taken from it",
    async (daemon) => {
      const flags = ["--root", `${daemon.root}2`, "--state", `${daemon.state}2`, "--address", daemon.address];
      const result = await run([path.join(bin, "lighterd"), ...flags], { timeoutMs: 20_000 });
      expect(result.code).not.toBe(0);
      expect(result.stderr).toContain(daemon.address);
      expect((await daemon.ctr(["version"])).code).toBe(0);
    },
    { needs: ["ours"] },
  );

  shared.test(
    "a configuration with an unknown key starts with a warning, a broken one does not start",
    async (daemon) => {
      const file = path.join(daemon.workspace.folder, "other.toml");
      const flags = ["--root", `${daemon.root}3`, "--state", `${daemon.state}3`, "--address", `${daemon.address}3`];
      await fs.writeFile(file, "version = 3\nroot = [\n");
      const result = await run([path.join(bin, "lighterd"), ...flags, "--config", file], { timeoutMs: 20_000 });
      expect(result.code).not.toBe(0);
      expect(result.stderr).toContain(file);
    },
    { needs: ["ours"] },
  );
});

describe("a full disk", () => {
  const shared = sharedDaemon();

  shared.test("says so, keeps what was there, and goes on once there is room", async (daemon) => {
    await daemon.stop();
    const small = path.join(daemon.root, "io.containerd.content.v1.content/ingest");
    await runOk(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", small]);
    try {
      await daemon.start();
      const result = await daemon.ctr(["content", "ingest", "bale"], { input: new Uint8Array(4 << 20) });
      expect(result.code).not.toBe(0);
      expect(result.stderr).toContain("no space left on device");
      expect((await daemon.ctr(["version"])).code).toBe(0);
      const args = ["run", "--rm", busyboxImage, shared.newId(), "echo", "sound"];
      expect(await daemon.ctrOk(args)).toBe("sound\n");
    } finally {
      await daemon.stop();
      await runOk(["umount", small]);
      await daemon.start();
    }
    expect((await daemon.ctr(["content", "ingest", "bale2"], { input: new Uint8Array(4 << 20) })).stderr).toBe("");
  });
});
