import { afterAll, beforeAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import os from "node:os";
import path from "node:path";
import {
  busyboxImage,
  type Daemon,
  missing,
  type RunResult,
  run,
  runInTerminal,
  sharedDaemon,
  waitFor,
} from "../support/index.ts";
import { type Registry, startRegistry } from "../support/registry.ts";
import { startFaultProxy } from "../support/registry-faults.ts";

const program = path.join(import.meta.dir, "../../bin/lighter");
const needs = ["ours", "registry"] as const;
const user = { name: "joe", password: "a:b c" };

let registry: Registry;
let folder = "";
if (missing(needs) === undefined) {
  beforeAll(async () => {
    folder = await fs.mkdtemp(path.join(os.tmpdir(), "lt-registry-"));
    registry = await startRegistry({ folder, user });
  });
  afterAll(async () => {
    await registry?.[Symbol.asyncDispose]();
    await fs.rm(folder, { recursive: true, force: true });
  });
}

const environment = (daemon: Daemon, namespace = daemon.namespace): Record<string, string> => ({
  CONTAINERD_ADDRESS: daemon.address,
  CONTAINERD_NAMESPACE: namespace,
  LIGHTER_DATA: path.join(daemon.workspace.folder, "data"),
  DOCKER_CONFIG: path.join(daemon.workspace.folder, "docker"),
});
const lighter = (daemon: Daemon, args: readonly string[], input?: string): Promise<RunResult> =>
  run([program, ...args], { env: environment(daemon), ...(input === undefined ? {} : { input }) });

describe("lighter and a registry", () => {
  const shared = sharedDaemon();

  shared.test(
    "login, push, pull and logout",
    async (daemon) => {
      const reference = `${registry.host}/quay/busybox:1`;
      const refused = await lighter(daemon, ["push", busyboxImage, reference]);
      expect(refused).toMatchObject({
        code: 1,
        stderr: expect.stringContaining(`hint: lighter login ${registry.host}`),
      });
      const wrong = await lighter(daemon, ["login", "-u", user.name, "--password-stdin", registry.host], "wrong\n");
      expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("are the name and the password right?") });

      const session = runInTerminal([program, "login", registry.host], { env: environment(daemon) });
      await waitFor("the question for a name", () => session.output().includes("Name at"));
      session.type(`${user.name}\r`);
      await waitFor("the question for a password", () => session.output().includes("Password of"));
      session.type(`x\x7f`);
      session.type(`${user.password}\r`);
      expect(await session.exited).toBe(0);
      expect(session.output()).not.toContain(user.password);

      const pushed = await lighter(daemon, ["push", "--json", busyboxImage, reference]);
      const { digest, sentBytes } = JSON.parse(pushed.stdout);
      expect(sentBytes).toBeGreaterThan(1000);
      expect((await lighter(daemon, ["rmi", busyboxImage])).code).toBe(0);

      const pulled = await lighter(daemon, ["pull", reference]);
      expect(pulled).toMatchObject({ code: 0, stdout: `${reference}  ${digest}\n` });
      expect(pulled.stderr).toStartWith(`pulling ${reference}\n`);
      expect(pulled.stderr).toMatch(/layer +[0-9a-f]{12} {2}unpacked\n/);
      const again = JSON.parse((await lighter(daemon, ["image", "pull", "-q", "--json", reference])).stdout);
      expect(again).toMatchObject([{ name: reference, digest, fetchedBytes: 0 }]);
      expect((await lighter(daemon, ["run", "--rm", reference, "echo", "ahoy"])).stdout).toBe("ahoy\n");
      expect((await lighter(daemon, ["rmi", reference])).code).toBe(0);

      // To where the daemon's transfers don't unpack, the command does.
      const elsewhere = await lighter(daemon, ["pull", "--snapshotter", "native", reference]);
      expect(elsewhere).toMatchObject({ code: 0, stdout: `${reference}  ${digest}\n` });
      expect(await daemon.ctrOk(["snapshots", "--snapshotter", "native", "ls"])).toContain("Committed");
      const flags = ["--rm", "--snapshotter", "native"];
      expect((await lighter(daemon, ["run", ...flags, reference, "echo", "ahoy"])).stdout).toBe("ahoy\n");
      expect((await lighter(daemon, ["rmi", reference])).code).toBe(0);
      const nowhere = await lighter(daemon, ["pull", "--snapshotter", "none", reference]);
      expect(nowhere).toMatchObject({ code: 1, stderr: expect.stringContaining("snapshotter") });
      const far = await lighter(daemon, ["pull", "--snapshotter", "native", "--platform", "linux/s390x", reference]);
      expect(far.stderr).toContain("not unpacked: linux/s390x");
      expect((await lighter(daemon, ["rmi", reference])).code).toBe(0);
      const missing = await lighter(daemon, ["run", "--rm", "--pull", "never", reference, "true"]);
      expect(missing).toMatchObject({ code: 125, stderr: expect.stringContaining("not found") });
      const fetched = await lighter(daemon, ["run", "--rm", reference, "echo", "ahoy"]);
      expect(fetched).toMatchObject({ stdout: "ahoy\n", stderr: expect.stringContaining(`pulling ${reference}\n`) });
      const always = await lighter(daemon, ["run", "--rm", "-q", "--pull", "always", reference, "echo", "ahoy"]);
      expect(always).toEqual({ code: 0, stdout: "ahoy\n", stderr: "" });

      expect((await lighter(daemon, ["logout", registry.host])).stdout).toBe(`logged out of ${registry.host}\n`);
      expect((await lighter(daemon, ["pull", reference])).code).toBe(1);
      const named = await lighter(daemon, ["pull", "--user", `${user.name}:${user.password}`, reference]);
      expect(named.code).toBe(0);
    },
    { needs },
  );

  shared.test(
    "shows bars on a terminal, and goes on after ctrl-c where it stopped",
    async (daemon) => {
      const login = ["--user", `${user.name}:${user.password}`];
      const reference = `${registry.host}/quay/slow:1`;
      const other = `${daemon.namespace}-2`;
      const [image = ""] = (await lighter(daemon, ["images", "-q"])).stdout.split("\n");
      expect((await lighter(daemon, ["push", ...login, image, reference])).code).toBe(0);
      let stuck = true;
      await using proxy = await startFaultProxy(registry.host, (method, address) =>
        stuck && method === "GET" && address.includes("/blobs/")
          ? { kind: "stall", afterBytes: 500_000 }
          : { kind: "pass" },
      );
      const slow = reference.replace(registry.host, proxy.host);
      // Without the content that the other namespace has, which would be shared.
      expect(
        (await lighter(daemon, ["rmi", ...(await lighter(daemon, ["images", "-q"])).stdout.trim().split("\n")])).code,
      ).toBe(0);
      const contents = ["content", "ls", "-q"];
      await waitFor("content to be collected", async () => (await daemon.ctrOk(contents)).trim() === "", 20_000);
      const session = runInTerminal([program, "pull", ...login, slow], { env: environment(daemon, other) });
      await waitFor("a bar", () => /layer.*[1-9]\d* KiB of 1\.0\d MiB/.test(session.output()), 20_000);
      session.type("\x03");
      expect(await session.exited).not.toBe(0);
      stuck = false;
      const env = environment(daemon, other);
      const resumed = runInTerminal([program, "pull", ...login, slow], { env });
      expect(await resumed.exited).toBe(0);
      expect(resumed.output()).toMatch(/unpacking +done, 1\.0\d MiB/);
      // What was there before did not come now, and says nothing of the speed.
      expect(resumed.output()).toMatch(/pulled in .*: [1-9]\d* KiB, /);
      const leases = ["ctr", "-a", daemon.address, "-n", other, "leases", "ls", "-q"];
      expect((await run(leases)).stdout).toBe("");
      expect(proxy.heads.some((head) => /range: bytes=[1-9]\d+-/.test(head))).toBe(true);
      expect((await run([program, "rmi", slow], { env })).code).toBe(0);
      await waitFor(
        "the namespace to be empty",
        async () => (await run([program, "ns", "rm", other], { env })).code === 0,
      );
    },
    { needs },
  );
});
