import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { Version } from "../../src/gen/containerd/services/version/v1/version_pb.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import { waitFor } from "../support/index.ts";

const launcher = resolve(import.meta.dir, "../../bin/lighterd");
const scratch = mkdtempSync(join(tmpdir(), "la-"));
afterAll(() => rmSync(scratch, { recursive: true }));

/** As a service manager does it: binds sockets, waits until a first client is there, and becomes the program. */
const manager = `
import os, socket, sys
paths, program = sys.argv[1].split(","), sys.argv[2:]
sockets = []
for path in paths:
    one = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    one.bind(path); os.chmod(path, 0o600); one.listen(64)
    sockets.append(one)
copies = [os.dup(one.fileno()) for one in sockets]
for n, fd in enumerate(copies): os.dup2(fd, 100 + n)
for n in range(len(copies)): os.dup2(100 + n, 3 + n, inheritable=True)
os.closerange(3 + len(copies), 200)
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(copies)))
os.execv(program[0], program)
`;

describe("lighterd that a service manager gives its sockets", () => {
  test("serves on them, keeps nobody waiting who came before, and leaves their files", async () => {
    const path = join(scratch, "a");
    mkdirSync(path);
    const address = join(path, "l.sock");
    const flags = ["--root", `${path}/root`, "--state", `${path}/state`, "--address", address];
    const sockets = [address, `${address}.ttrpc`, join(path, "stranger.sock")].join(",");
    {
      await using daemon = Bun.spawn(["python3", "-c", manager, sockets, launcher, ...flags], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      await waitFor("the sockets", () => existsSync(join(path, "stranger.sock")));
      // More than one: the manager's sockets block, and a daemon that waited for another client would answer none.
      const answers = Array.from({ length: 8 }, async () => {
        await using connection = await connectGrpc({ path: address });
        return (await connection.client(Version).version({})).version;
      });
      for (const version of await Promise.all(answers)) expect(version).toMatch(/^v2\./);
      expect(statSync(address).mode & 0o777).toBe(0o600);
      daemon.kill("SIGTERM");
      expect(await daemon.stderr.text()).toContain("a socket was handed over that nothing here serves");
      expect(await daemon.exited).toBe(0);
    }
    expect([existsSync(address), existsSync(`${address}.ttrpc`)]).toEqual([true, true]);
  });

  test("takes none that are meant for another process", async () => {
    const path = join(scratch, "b");
    mkdirSync(path);
    const address = join(path, "l.sock");
    const flags = ["--root", `${path}/root`, "--state", `${path}/state`, "--address", address];
    await using daemon = Bun.spawn([launcher, ...flags], {
      env: { ...process.env, LISTEN_PID: "1", LISTEN_FDS: "2" },
      stdio: ["ignore", "ignore", "ignore"],
    });
    const version = async (): Promise<string> => {
      await using connection = await connectGrpc({ path: address });
      return (await connection.client(Version).version({})).version;
    };
    await waitFor("an answer", () =>
      version().then(
        () => true,
        () => false, // not there yet
      ),
    );
    expect(daemon.exitCode).toBeNull();
  });
});
