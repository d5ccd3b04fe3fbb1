import { afterAll, describe, expect } from "bun:test";
import fs from "node:fs/promises";
import path from "node:path";
import { create } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { Streaming } from "../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { ContainerPathSchema } from "../../src/gen/containerd/types/transfer/container_pb.ts";
import type { Progress } from "../../src/gen/containerd/types/transfer/progress_pb.ts";
import { ReadStreamSchema, WriteStreamSchema } from "../../src/gen/containerd/types/transfer/streaming_pb.ts";
import { failureText } from "../../src/lib/fault-testing.ts";
import { anyOf } from "../../src/wire/any.ts";
import { connectGrpc } from "../../src/wire/grpc/index.ts";
import type { ClientConnection } from "../../src/wire/service.ts";
import { busyboxImage, type Daemon, runOk, sharedDaemon } from "../support/index.ts";
import { packTar, type TarEntry } from "../support/tar.ts";
import { openStream, receiveBytes, sendBytes, type TransferApi, transfer } from "../support/transfer.ts";

const shared = sharedDaemon();
let connection: ClientConnection | undefined;
afterAll(async () => {
  await connection?.[Symbol.asyncDispose]();
});

async function api(daemon: Daemon): Promise<TransferApi> {
  connection ??= await connectGrpc({ path: daemon.address });
  const { namespace } = daemon;
  return {
    streaming: connection.client(Streaming, { namespace }),
    transfer: connection.client(Transfer, { namespace }),
  };
}

interface CopyOptions {
  readonly noWalk?: boolean;
  readonly preserveOwnership?: boolean;
  readonly mediaType?: string;
  readonly onProgress?: (progress: Progress) => void;
}

const placeOf = (containerId: string, at: string, { noWalk = false, preserveOwnership = false }: CopyOptions): Any =>
  anyOf(ContainerPathSchema, create(ContainerPathSchema, { containerId, path: at, noWalk, preserveOwnership }));

async function copyOut(daemon: Daemon, id: string, at: string, options: CopyOptions = {}): Promise<Buffer> {
  const services = await api(daemon);
  const stream = await openStream(services.streaming, "out");
  const parts = Array.fromAsync(receiveBytes(stream));
  // The transfer tells what went wrong.
  parts.catch(() => {});
  const { mediaType = "application/x-tar" } = options;
  const to = anyOf(WriteStreamSchema, create(WriteStreamSchema, { stream: stream.id, mediaType }));
  await transfer(services, placeOf(id, at, options), to, { onProgress: options.onProgress });
  return Buffer.concat(await parts);
}

async function copyIn(
  daemon: Daemon,
  id: string,
  at: string,
  archive: Uint8Array | AsyncIterable<Uint8Array>,
  options: CopyOptions = {},
): Promise<void> {
  const services = await api(daemon);
  const stream = await openStream(services.streaming, "in");
  const source = archive instanceof Uint8Array ? pieces(archive) : archive;
  sendBytes(stream, source).catch(() => {});
  const { mediaType = "application/x-tar" } = options;
  const from = anyOf(ReadStreamSchema, create(ReadStreamSchema, { stream: stream.id, mediaType }));
  await transfer(services, from, placeOf(id, at, options), { onProgress: options.onProgress });
}

async function* pieces(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += 100_000) yield bytes.subarray(at, at + 100_000);
}

/** What the system's tar says of an archive, a line a member: mode, owner, size, name. */
async function listed(daemon: Daemon, archive: Uint8Array): Promise<string[]> {
  const file = path.join(daemon.workspace.folder, `${crypto.randomUUID()}.tar`);
  await fs.writeFile(file, archive);
  const lines = (await runOk(["tar", "--numeric-owner", "--full-time", "-tvf", file])).split("\n").filter(Boolean);
  return lines.map((line) => line.replace(/ +\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?/, "").replace(/ +/g, " "));
}

async function containerOf(daemon: Daemon, state: "running" | "stopped", ...flags: string[]): Promise<string> {
  const id = shared.newId();
  if (state === "running") {
    await daemon.ctrOk(["run", "-d", ...daemon.runtimeFlags, ...flags, busyboxImage, id, "sleep", "1000"]);
  } else await daemon.ctrOk(["containers", "create", ...flags, busyboxImage, id, "sleep", "1000"]);
  return id;
}

let execs = 0;
const sh = (daemon: Daemon, id: string, script: string): Promise<string> =>
  daemon.ctrOk(["tasks", "exec", "--exec-id", `e${++execs}`, id, "sh", "-c", script]);

const file = (name: string, content: string, more: Partial<TarEntry> = {}): TarEntry => ({
  path: name,
  content,
  ...more,
});

describe("copies between a container's path and a stream", () => {
  for (const state of ["running", "stopped"] as const) {
    shared.test(
      `into a ${state} container and out of it again`,
      async (daemon) => {
        const id = await containerOf(daemon, state);
        const big = Buffer.alloc(5 << 20, "0123456789abcdef");
        const steps: Progress[] = [];
        const archive = packTar([
          { path: "deck", type: "folder", mode: 0o750 },
          file("deck/cargo", "salt", { mode: 0o600 }),
          { path: "deck/link", type: "symlink", target: "cargo" },
          { path: "deck/twin", type: "hardlink", target: "deck/cargo" },
          { path: "deck/deep/er/big", content: big },
        ]);
        await copyIn(daemon, id, "/root", archive, { onProgress: (step) => steps.push(step) });
        expect(steps.at(0)).toMatchObject({ event: "copying", name: `${id}:/root`, progress: 0n });
        expect(Number(steps.at(-1)?.progress)).toBe(archive.length);
        const out: Progress[] = [];
        const back = await copyOut(daemon, id, "/root/deck", { onProgress: (step) => out.push(step) });
        expect(await listed(daemon, back)).toEqual([
          "drwxr-x--- 0/0 0 deck/",
          "-rw------- 0/0 4 deck/cargo",
          "drwxr-xr-x 0/0 0 deck/deep/",
          "drwxr-xr-x 0/0 0 deck/deep/er/",
          `-rw-r--r-- 0/0 ${big.length} deck/deep/er/big`,
          "lrwxrwxrwx 0/0 0 deck/link -> cargo",
          "hrw------- 0/0 0 deck/twin link to deck/cargo",
        ]);
        expect(back.includes(big)).toBe(true);
        expect(Number(out.at(-1)?.progress)).toBe(back.length);
        expect(await listed(daemon, await copyOut(daemon, id, "/root/deck", { noWalk: true }))).toEqual([
          "drwxr-x--- 0/0 0 deck/",
        ]);
        expect((await listed(daemon, await copyOut(daemon, id, "root/deck/."))).slice(0, 2)).toEqual([
          "drwxr-x--- 0/0 0 ./",
          "-rw------- 0/0 4 ./cargo",
        ]);
        expect(await listed(daemon, await copyOut(daemon, id, "/root/deck/link"))).toEqual([
          "lrwxrwxrwx 0/0 0 link -> cargo",
        ]);
        if (state === "running") {
          expect(await sh(daemon, id, "cat /root/deck/link; readlink /root/deck/link")).toBe("saltcargo\n");
          // Its own mounts are seen, and what the kernel makes up is not copied.
          await sh(daemon, id, "echo seen > /dev/shm/here");
          expect(await listed(daemon, await copyOut(daemon, id, "/dev/shm/here"))).toEqual(["-rw-r--r-- 0/0 5 here"]);
          const all = await listed(daemon, await copyOut(daemon, id, "/"));
          expect(all.filter((line) => / \.\/proc\//.test(line))).toEqual(["dr-xr-xr-x 0/0 0 ./proc/"]);
          expect(await failureText(() => copyOut(daemon, id, "/proc/1/status"))).toContain("that the kernel makes up");
        }
      },
      { timeoutMs: 90_000 },
    );
  }

  shared.test("owners are kept when asked for, and replaced files are replaced", async (daemon) => {
    const id = await containerOf(daemon, "stopped");
    const folder = path.join(daemon.workspace.folder, "owned");
    await fs.mkdir(folder);
    await fs.writeFile(path.join(folder, "suid"), "new", { mode: 0o755 });
    await fs.chown(path.join(folder, "suid"), 1234, 4321);
    await fs.chmod(path.join(folder, "suid"), 0o4755);
    const archive = path.join(daemon.workspace.folder, "owned.tar");
    await runOk(["tar", "-cf", archive, "-C", folder, "suid"]);
    await copyIn(daemon, id, "/tmp", packTar([file("suid", "older and longer")]));
    await copyIn(daemon, id, "/tmp", await fs.readFile(archive));
    expect(await listed(daemon, await copyOut(daemon, id, "/tmp/suid"))).toEqual(["-rwsr-xr-x 0/0 3 suid"]);
    const zipped = Bun.gzipSync(await fs.readFile(archive));
    await copyIn(daemon, id, "/tmp", zipped, { preserveOwnership: true });
    expect(await listed(daemon, await copyOut(daemon, id, "/tmp/suid"))).toEqual(["-rwsr-xr-x 1234/4321 3 suid"]);
  });

  shared.test(
    "hostile links lead nowhere",
    async (daemon) => {
      const secret = path.join(daemon.workspace.folder, "secret");
      await fs.mkdir(secret);
      await fs.writeFile(path.join(secret, "key"), "of the machine");
      for (const state of ["running", "stopped"] as const) {
        const id = await containerOf(daemon, state);
        const evil = packTar([
          { path: "abs", type: "symlink", target: secret },
          { path: "up", type: "symlink", target: `../../../../../../../..${secret}` },
          { path: "round", type: "symlink", target: "round" },
          { path: "magic", type: "symlink", target: "/proc/1/root" },
          { path: "self", type: "symlink", target: "/proc/self/cwd" },
        ]);
        await copyIn(daemon, id, "/tmp", evil);
        for (const link of ["abs", "up", "round", "magic", "self"]) {
          // As a link it is what it is.
          expect((await listed(daemon, await copyOut(daemon, id, `/tmp/${link}`)))[0]).toStartWith("lrwxrwxrwx");
          for (const at of [`/tmp/${link}/key`, `/tmp/${link}/`, `/tmp/${link}${secret}/key`]) {
            expect(await failureText(() => copyOut(daemon, id, at))).toMatch(
              /^(?:notFound|invalidArgument|permissionDenied): copy from /,
            );
          }
          expect(await failureText(() => copyIn(daemon, id, `/tmp/${link}`, packTar([file("key", "stolen")])))).toMatch(
            /^(?:notFound|invalidArgument|permissionDenied): copy to /,
          );
        }
        // Through a link of the archive's own, too: what it names is made within the container.
        await copyIn(
          daemon,
          id,
          "/tmp",
          packTar([{ path: "x", type: "symlink", target: "/etc" }, file("x/made", "in")]),
        );
        expect(await listed(daemon, await copyOut(daemon, id, "/etc/made"))).toEqual(["-rw-r--r-- 0/0 2 made"]);
        for (const name of ["../../out", "/../out", "a/../../out"]) {
          expect(await failureText(() => copyIn(daemon, id, "/tmp", packTar([file(name, "out")])))).toContain(
            "name leads out of the archive",
          );
        }
        const link = packTar([{ path: "hard", type: "hardlink", target: "../etc/passwd" }]);
        expect(await failureText(() => copyIn(daemon, id, "/tmp", link))).toContain(
          "hard link leads out of the archive",
        );
      }
      expect(await fs.readdir(secret)).toEqual(["key"]);
      expect(await fs.readFile(path.join(secret, "key"), "utf8")).toBe("of the machine");
    },
    { timeoutMs: 90_000 },
  );

  shared.test("links of /proc to the machine's own processes lead nowhere", async (daemon) => {
    const secret = path.join(daemon.workspace.folder, "magic");
    await fs.mkdir(secret);
    await fs.writeFile(path.join(secret, "key"), "of the machine");
    const id = await containerOf(daemon, "running", "--with-ns", `pid:/proc/${process.pid}/ns/pid`);
    // This very process is one of those that the container sees.
    const root = `/proc/${process.pid}/root`;
    await copyIn(daemon, id, "/tmp", packTar([{ path: "out", type: "symlink", target: root }]));
    for (const at of [`/tmp/out${secret}/key`, `/tmp/out${secret}`, `${root}${secret}/key`, `${root}/.`]) {
      expect(await failureText(() => copyOut(daemon, id, at))).toMatch(/^(?:invalidArgument|permissionDenied): /);
    }
    const stolen = packTar([file("key", "stolen")]);
    expect(await failureText(() => copyIn(daemon, id, `/tmp/out${secret}`, stolen))).toMatch(
      /^(?:invalidArgument|permissionDenied): /,
    );
    const through = packTar([file(`out${secret}/key`, "stolen")]);
    expect(await failureText(() => copyIn(daemon, id, "/tmp", through))).toMatch(
      /^(?:invalidArgument|permissionDenied): /,
    );
    expect(await fs.readFile(path.join(secret, "key"), "utf8")).toBe("of the machine");
  });

  shared.test(
    "links that a container moves about meanwhile lead nowhere",
    async (daemon) => {
      const id = await containerOf(daemon, "running");
      const outside = path.join(daemon.workspace.folder, "outside");
      await fs.mkdir(outside);
      await fs.writeFile(path.join(outside, "key"), "of the machine");
      // One name is a folder and a link by turns, as fast as it can be.
      const swap = `mkdir -p /tmp/race/real /tmp/race/side; ln -sn ${outside} /tmp/race/evil; echo mine > /tmp/race/real/key;
      while :; do mv /tmp/race/real /tmp/race/d; mv /tmp/race/d /tmp/race/real; mv -T /tmp/race/evil /tmp/race/d; mv -T /tmp/race/d /tmp/race/evil; done`;
      await daemon.ctrOk(["tasks", "exec", "-d", "--exec-id", "swap", id, "sh", "-c", swap]);
      for (let round = 0; round < 15; round++) {
        const out = await copyOut(daemon, id, "/tmp/race").catch(() => Buffer.alloc(0));
        expect(out.includes("of the machine")).toBe(false);
        await copyIn(daemon, id, "/tmp/race/d", packTar([file("key", `stolen${round}`)])).catch(() => {});
      }
      expect(await fs.readFile(path.join(outside, "key"), "utf8")).toBe("of the machine");
    },
    { timeoutMs: 90_000 },
  );

  shared.test("what can't be is said", async (daemon) => {
    const id = await containerOf(daemon, "stopped");
    const tar = packTar([file("a", "a")]);
    expect(await failureText(() => copyOut(daemon, "none", "/etc"))).toBe(
      `notFound: container "none" in namespace "${daemon.namespace}": not found`,
    );
    expect(await failureText(() => copyOut(daemon, id, "/none/x"))).toBe(
      `notFound: copy from ${id}:/none/x: path "/none" in the container: not found`,
    );
    expect(await failureText(() => copyOut(daemon, id, "/none"))).toContain('path "/none" in the container: not found');
    expect(await failureText(() => copyIn(daemon, id, "/none", tar))).toContain('path "/none" in the container');
    await copyIn(daemon, id, "/tmp", tar);
    expect(await failureText(() => copyIn(daemon, id, "/tmp/a", tar))).toContain('path "/tmp/a" is not a folder');
    expect(await failureText(() => copyOut(daemon, id, "/tmp/a/"))).toContain('path "/tmp/a" is not a folder');
    expect(await failureText(() => copyIn(daemon, id, "/", packTar([file("tmp", "x")])))).toContain(
      'entry "tmp": cannot overwrite directory "tmp" with a file',
    );
    const folder = packTar([{ path: "a", type: "folder" }]);
    expect(await failureText(() => copyIn(daemon, id, "/tmp", folder))).toContain('cannot overwrite non-directory "a"');
    expect(await failureText(() => copyIn(daemon, id, "/tmp", Buffer.alloc(9000, "no tar")))).toContain(
      "at the beginning: invalid",
    );
    expect(await failureText(() => copyIn(daemon, id, "/tmp", tar.subarray(0, 512)))).toContain("unexpected end");
    expect(await failureText(() => copyOut(daemon, id, "/tmp", { mediaType: "text/plain" }))).toContain("tar archives");
  });

  shared.test("a client that goes away ends the copy", async (daemon) => {
    const id = await containerOf(daemon, "stopped");
    const services = await api(daemon);
    const cut = new AbortController();
    const stream = await openStream(services.streaming, "in");
    async function* slow(): AsyncGenerator<Uint8Array> {
      yield packTar([file("kept", "whole")]).subarray(0, 1024);
      cut.abort();
      await new Promise(() => {});
    }
    sendBytes(stream, slow()).catch(() => {});
    const from = anyOf(ReadStreamSchema, create(ReadStreamSchema, { stream: stream.id }));
    const call = transfer(services, from, placeOf(id, "/tmp", {}), { signal: cut.signal });
    expect(await failureText(() => call)).toStartWith("canceled");
    // Nothing is held: the container's snapshot can be taken away.
    await daemon.ctrOk(["containers", "rm", id]);
  });
});
