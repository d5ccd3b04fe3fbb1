import { afterAll, describe, expect, test } from "bun:test";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import {
  archOpenFlags,
  closeQuietly,
  createFdWatcher,
  createKernel,
  deviceNumber,
  exitStatusOf,
  fileEvents,
  internetNameOf,
  isErrno,
  lockKinds,
  mountFlags,
  openFlags,
  pollEvents,
  readFileEvents,
  resolveFlags,
  unmountFlags,
} from "./index.ts";
import { epollEventLayout } from "./polling.ts";
import { pidfdInfoLayout } from "./processes.ts";
import { messageLayout } from "./sockets.ts";
import { rawClears, termiosLayout } from "./terminals.ts";
import { createFakeKernel } from "./testing.ts";

const kernel = createKernel();
const [major = 0, minor = 0] = release().split(".").map(Number);
const keepsExitStatus = major > 6 || (major === 6 && minor >= 15);
const folder = mkdtempSync(join(tmpdir(), "lighter-sys-"));
const at = (name: string) => join(folder, name);
const isRoot = process.getuid?.() === 0;
const requiresRoot = test.skipIf(!isRoot);
/** Numbers with what they lead to; the listing's own one leads to a folder that is gone. */
const openDescriptors = () =>
  readdirSync("/proc/self/fd").flatMap((fd) => {
    try {
      return [`${fd} ${readlinkSync(`/proc/self/fd/${fd}`)}`];
    } catch {
      return [];
    }
  });
const fdCount = () => readdirSync("/proc/self/fd").length;
const code = (run: () => unknown) => {
  try {
    run();
    return "none";
  } catch (error) {
    return error instanceof Error && "code" in error ? error.code : String(error);
  }
};

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe("SysError", () => {
  test("carries call, errno and kind, and reads as Go's", () => {
    const error = (() => {
      try {
        kernel.open(at("none"), openFlags.readOnly);
      } catch (e) {
        return e;
      }
    })();
    expect(error).toMatchObject({ call: "open", code: "ENOENT", kind: "notFound" });
    expect((error as Error).message).toBe(`open ${at("none")}: no such file or directory`);
  });

  test("a string with a NUL never reaches C", () => {
    expect(code(() => kernel.open("/etc/passwd\0x", 0))).toBe("EINVAL");
  });
});

describe("file events", () => {
  test("tell once that a file grew, and which", () => {
    const inotify = kernel.inotifyCreate();
    const names = [at("grows"), at("rests")];
    for (const name of names) writeFileSync(name, "");
    const [grows] = names.map((name) => kernel.inotifyAdd(inotify, name, fileEvents.modified));
    for (const text of ["a", "b"]) writeFileSync(at("grows"), text, { flag: "a" });
    const buffer = new Uint8Array(4096);
    const events = readFileEvents(buffer.subarray(0, kernel.read(inotify, buffer)));
    expect(events).toEqual([{ watch: grows ?? -1, events: fileEvents.modified }]);
    kernel.inotifyRemove(inotify, grows ?? -1);
    kernel.close(inotify);
  });

  test("a hole gives blocks back and leaves the length", () => {
    writeFileSync(at("holed"), new Uint8Array(64 * 1024).fill(1));
    const fd = kernel.open(at("holed"), openFlags.readWrite);
    kernel.punchHole(fd, 0, 32 * 1024);
    kernel.close(fd);
    const bytes = readFileSync(at("holed"));
    expect([bytes.length, bytes.indexOf(1)]).toEqual([64 * 1024, 32 * 1024]);
    expect(statSync(at("holed")).blocks * 512).toBe(32 * 1024);
  });
});

describe("Kernel files", () => {
  test("readCached reads what was just written, from any offset", () => {
    writeFileSync(at("cached"), "hello world");
    const fd = kernel.open(at("cached"), openFlags.readOnly);
    const buffer = new Uint8Array(5);
    expect(kernel.readCached(fd, buffer, 6)).toBe(5);
    expect(Buffer.from(buffer).toString()).toBe("world");
    expect(kernel.readCached(fd, buffer, 11)).toBe(0);
    kernel.close(fd);
    expect(code(() => kernel.readCached(fd, buffer, 0))).toBe("EBADF");
  });

  test("open, write, read and close move bytes; nothing leaks", () => {
    const before = fdCount();
    const fd = kernel.open(at("file"), openFlags.create | openFlags.readWrite, 0o600);
    expect(kernel.write(fd, Buffer.from("hello"))).toBe(5);
    kernel.close(fd);
    const again = kernel.open(at("file"), openFlags.readOnly);
    const buffer = new Uint8Array(10);
    expect(Buffer.from(buffer.subarray(0, kernel.read(again, buffer))).toString()).toBe("hello");
    expect(kernel.read(again, buffer)).toBe(0);
    kernel.close(again);
    closeQuietly(kernel, again);
    expect(code(() => kernel.close(again))).toBe("EBADF");
    expect(fdCount()).toBe(before);
  });

  test("a non-blocking FIFO says EAGAIN, and blocks again once told to", () => {
    kernel.mkfifo(at("fifo"), 0o600);
    const fd = kernel.open(at("fifo"), openFlags.readWrite | openFlags.nonBlock);
    expect(code(() => kernel.read(fd, new Uint8Array(1)))).toBe("EAGAIN");
    kernel.setNonBlocking(fd, false);
    const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
    expect(Number.parseInt(flags as string, 8) & (openFlags.nonBlock | 3)).toBe(openFlags.readWrite);
    kernel.close(fd);
  });

  test("tryLock lets one in and tells the other", () => {
    const first = kernel.open(at("lock"), openFlags.create | openFlags.readWrite, 0o600);
    const second = kernel.open(at("lock"), openFlags.readWrite);
    expect(kernel.tryLock(first, lockKinds.exclusive)).toBe(true);
    expect(kernel.tryLock(second, lockKinds.exclusive)).toBe(false);
    kernel.close(first);
    expect(kernel.tryLock(second, lockKinds.exclusive)).toBe(true);
    kernel.startWriteback(second);
    kernel.fsync(second);
    kernel.syncfs(second);
    kernel.close(second);
  });

  test("openBeneath refuses to leave its folder", () => {
    mkdirSync(at("inside"));
    writeFileSync(at("inside/a"), "a");
    symlinkSync("../file", at("inside/out"));
    const root = kernel.open(at("inside"), openFlags.path | archOpenFlags.directory);
    const open = (path: string) => kernel.openBeneath(root, path, openFlags.readOnly, 0, resolveFlags.beneath);
    kernel.close(open("a"));
    expect(code(() => open("out"))).toBe("EXDEV");
    expect(code(() => open("../file"))).toBe("EXDEV");
    kernel.close(root);
  });

  test("setTimes sets a link's own times", () => {
    symlinkSync("nowhere", at("link"));
    kernel.setTimes(at("link"), undefined, { seconds: 1_000_000_000n, nanoseconds: 5 });
    expect(
      Bun.spawnSync(["stat", "-c", "%.9Y", at("link")])
        .stdout.toString()
        .trim(),
    ).toBe("1000000000.000000005");
  });

  requiresRoot("mknod makes a device node", () => {
    kernel.mknod(at("null"), 0o20666, 1, 3);
    expect(statSync(at("null")).rdev).toBe(Number(deviceNumber(1, 3)));
    expect(deviceNumber(0x12345, 0x6789a)).toBe((0x12000n << 32n) | (0x345n << 8n) | (0x67800n << 12n) | 0x9an);
  });
});

describe("Kernel xattrs", () => {
  requiresRoot("set, list, get and remove", () => {
    writeFileSync(at("x"), "");
    const value = Buffer.alloc(3000, 7);
    kernel.setXattr(at("x"), "trusted.one", value);
    kernel.setXattr(at("x"), "trusted.empty", new Uint8Array(0));
    expect([...kernel.listXattrs(at("x"))].sort()).toEqual(["trusted.empty", "trusted.one"]);
    expect(Buffer.compare(kernel.getXattr(at("x"), "trusted.one") as Uint8Array, value)).toBe(0);
    expect(kernel.getXattr(at("x"), "trusted.empty")?.length).toBe(0);
    kernel.removeXattr(at("x"), "trusted.one");
    kernel.removeXattr(at("x"), "trusted.one");
    expect(kernel.getXattr(at("x"), "trusted.one")).toBeUndefined();
  });
});

describe("Kernel mounts", () => {
  requiresRoot("mount and unmount a tmpfs", () => {
    mkdirSync(at("mnt"));
    kernel.mount("tmpfs", at("mnt"), "tmpfs", mountFlags.noSuid | mountFlags.noDev, "size=64k");
    writeFileSync(at("mnt/inside"), "");
    kernel.unmount(at("mnt"), unmountFlags.noFollow);
    expect(readdirSync(at("mnt"))).toEqual([]);
    expect(code(() => kernel.unmount(at("mnt"), 0))).toBe("EINVAL");
  });
});

describe("Kernel processes", () => {
  test.each([
    [0x0000, 0],
    [0x0300, 3],
    [0xff00, 255],
    [9, 137],
    [0x80 | 11, 139],
  ])("exitStatusOf(%d) is %d", (word, status) => expect(exitStatusOf(word)).toBe(status));

  test("a pidfd signals its process and is gone afterwards", async () => {
    const child = Bun.spawn(["sleep", "100"]);
    const pidfd = kernel.pidfdOpen(child.pid);
    kernel.pidfdSignal(pidfd, 15);
    await child.exited;
    expect(child.signalCode).toBe("SIGTERM");
    expect(code(() => kernel.pidfdSignal(pidfd, 0))).toBe("ESRCH");
    kernel.close(pidfd);
  });

  test("tells the exit status of a process that is not a child, once its parent reaped it", async () => {
    // The shell stays the parent; the grandchild's pid comes first, then the shell waits for it when told.
    const shell = Bun.spawn(["sh", "-c", "(read x; exit 42) <&3 & echo $!; wait"], {
      stdio: ["ignore", "pipe", "inherit", "pipe"],
    });
    const line = await shell.stdout.getReader().read();
    const pidfd = kernel.pidfdOpen(Number(Buffer.from(line.value as Uint8Array).toString()));
    expect(kernel.pidfdExitStatus(pidfd)).toBeUndefined();
    const trigger = shell.stdio[3];
    if (typeof trigger === "number") kernel.write(trigger, Buffer.from("go\n"));
    await shell.exited;
    const status = kernel.pidfdExitStatus(pidfd);
    expect(status).toBe(keepsExitStatus ? 42 : undefined);
    kernel.close(pidfd);
  });

  requiresRoot(
    "startWith starts a program with those capabilities, and leaves this thread's as they were",
    async () => {
      const fields = (text: string): string[] =>
        [...text.matchAll(/^Cap(?:Inh|Prm|Eff|Amb):\s*(\S+)/gm)].map(([, bits]) => `${bits}`);
      const own = (): string[] => fields(readFileSync("/proc/thread-self/status", "utf8"));
      const start = () => Bun.spawn(["cat", "/proc/self/status"]);
      const before = own();
      const [narrow, plain] = [kernel.startWith(["chown", "setfcap"], start), start()];
      expect(own()).toEqual(before);
      expect(fields(await narrow.stdout.text())).toEqual(Array(4).fill("0000000080000001"));
      expect(fields(await plain.stdout.text())).toEqual(before);
      expect(() =>
        kernel.startWith([], () => {
          throw new Error("no such program");
        }),
      ).toThrow("no such program");
      expect(own()).toEqual(before);
    },
  );

  test("reap answers ECHILD for what is no child", () => {
    expect(code(() => kernel.reap(1))).toBe("ECHILD");
  });
});

describe("Kernel sockets", () => {
  test("descriptors travel, also by peeking", () => {
    const before = new Set(openDescriptors());
    const [left, right] = kernel.socketPair();
    const [read, write] = kernel.pipe();
    kernel.sendFds(left, Buffer.from("one"), [write]);
    kernel.close(write);
    const peeked = kernel.receiveFds(right, { peek: true });
    const taken = kernel.receiveFds(right);
    expect(Buffer.from(taken?.bytes as Uint8Array).toString()).toBe("one");
    expect(peeked?.fds.length).toBe(1);
    expect(kernel.receiveFds(right)).toBeUndefined();
    kernel.write(taken?.fds[0] as number, Buffer.from("!"));
    expect(kernel.read(read, new Uint8Array(4))).toBe(1);
    for (const fd of [left, right, read, ...(peeked?.fds ?? []), ...(taken?.fds ?? [])]) kernel.close(fd);
    // Those of earlier tests that wait for the garbage collector may go meanwhile; none may come.
    expect(openDescriptors().filter((one) => !before.has(one))).toEqual([]);
  });

  test("a queue holds thousands of descriptors once it may, and they stay open in it", () => {
    const before = new Set(openDescriptors());
    const [left, right] = kernel.socketPair();
    const granted = kernel.setSendBuffer(left, 64 << 20);
    const [read, write] = kernel.pipe(openFlags.nonBlock);
    const count = granted >= 64 << 20 ? 5000 : 50;
    for (let n = 0; n < count; n++) kernel.sendFds(left, Buffer.alloc(300), [write]);
    kernel.close(write);
    expect(code(() => kernel.read(read, new Uint8Array(1)))).toBe("EAGAIN");
    kernel.close(right);
    kernel.close(left);
    expect(kernel.read(read, new Uint8Array(1))).toBe(0);
    kernel.close(read);
    // As above.
    expect(openDescriptors().filter((one) => !before.has(one))).toEqual([]);
  });

  test("what waits in a stream is taken without waiting for more, up to its end", async () => {
    const listener = kernel.listenUnix(at("now"));
    const socket = await Bun.connect({ unix: at("now"), socket: { data: () => {} } });
    const accepted = kernel.accept(listener) as number;
    const into = new Uint8Array(16);
    expect(kernel.receiveNow(accepted, into)).toBeUndefined();
    socket.write("five!");
    socket.flush();
    expect(kernel.receiveNow(accepted, into)).toBe(5);
    expect(Buffer.from(into.subarray(0, 5)).toString()).toBe("five!");
    expect(kernel.receiveNow(accepted, into)).toBeUndefined();
    socket.shutdown();
    expect(kernel.receiveNow(accepted, into)).toBe(0);
    socket.terminate();
    for (const fd of [accepted, listener]) kernel.close(fd);
    expect(code(() => kernel.receiveNow(listener, into))).toMatch(/EBADF|ENOTSOCK/);
    kernel.yieldProcessor();
  });

  test("a socket that cannot listen leaves no descriptor", () => {
    const before = fdCount();
    const times = 20;
    for (let n = 0; n < times; n++) {
      expect(code(() => kernel.listenUnix(at("nowhere/s")))).toBe("ENOENT");
      expect(code(() => kernel.listenTcp("192.0.2.1", 0, 1))).toBe("EADDRNOTAVAIL");
    }
    // What others of this process opened may close meanwhile.
    expect(fdCount()).toBeLessThan(before + times);
  });

  test("a listening socket takes a connection that came before accept", async () => {
    const listener = kernel.listenUnix(at("s"));
    expect(kernel.accept(listener)).toBeUndefined();
    const socket = await Bun.connect({ unix: at("s"), socket: { data: () => {} } });
    const accepted = kernel.accept(listener);
    expect(accepted).toBeNumber();
    socket.end();
    kernel.close(accepted as number);
    kernel.close(listener);
  });
});

describe("listenTcp", () => {
  test.each([
    ["127.0.0.1", "127.0.0.1"],
    ["0.0.0.0", "127.0.0.1"],
    ["::1", "[0:0:0:0:0:0:0:1]"],
    ["::ffff:127.0.0.1", "[0:0:0:0:0:ffff:7f00:1]"],
  ])("listens at %s, and says where", async (host, name) => {
    const fd = kernel.listenTcp(host, 0, 8);
    const [, port] = /:(\d+)$/.exec(kernel.listeningAddress(fd) ?? "") ?? [];
    expect(kernel.listeningAddress(fd)).toBe(`${host === "0.0.0.0" ? host : name}:${port}`);
    expect(kernel.listeningPath(fd)).toBeUndefined();
    expect(code(() => kernel.listenTcp(host, Number(port), 8))).toBe("EADDRINUSE");
    const connected = Promise.withResolvers<boolean>();
    using client = await Bun.connect({
      hostname: host === "::1" ? "::1" : "127.0.0.1",
      port: Number(port),
      socket: { data: () => {}, open: () => connected.resolve(true), connectError: () => connected.resolve(false) },
    });
    expect([await connected.promise, client.readyState]).toEqual([true, 1]);
    kernel.close(fd);
  });

  test("refuses what is no address of this machine's, and names, and leaves nothing open", () => {
    const before = fdCount();
    expect(code(() => kernel.listenTcp("192.0.2.1", 0, 8))).toBe("EADDRNOTAVAIL");
    expect(code(() => kernel.listenTcp("localhost", 0, 8))).toBe("EINVAL");
    expect(fdCount()).toBe(before);
  });

  test("writes an address in one form", () => {
    for (const host of ["2001:db8::1", "2001:db8:0:0:0:0:0:1", "2001:DB8::0:1"])
      expect(internetNameOf(host, 443)).toBe("[2001:db8:0:0:0:0:0:1]:443");
    expect(internetNameOf("::", 1)).toBe("[0:0:0:0:0:0:0:0]:1");
    expect(internetNameOf("10.0.0.5", 65535)).toBe("10.0.0.5:65535");
    expect(internetNameOf("example.com", 1)).toBeUndefined();
  });
});

describe("listeningPath", () => {
  test("knows a listening unix socket by its path, and nothing else", async () => {
    const path = at("named");
    const listener = kernel.listenUnix(path, 64);
    const other = kernel.duplicate(listener);
    const [left, right] = kernel.socketPair();
    const [read, write] = kernel.pipe();
    using tcp = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: () => {} } });
    const tcpFd = (tcp as unknown as { fd: number }).fd;
    expect(kernel.listeningPath(other)).toBe(path);
    expect([left, read, 9999, tcpFd].map((fd) => kernel.listeningPath(fd))).toEqual(Array(4).fill(undefined));
    for (const fd of [listener, other, left, right, read, write]) kernel.close(fd);
  });
});

describe("FdWatcher.watch", () => {
  const failures: unknown[] = [];

  test("wakes for a process's end, an eventfd and a pipe, again and again, without leaking", async () => {
    using watcher = createFdWatcher({ kernel, onError: (error) => failures.push(error) });
    const child = Bun.spawn(["sh", "-c", "exit 3"]);
    const pidfd = kernel.pidfdOpen(child.pid);
    const ended = Promise.withResolvers<void>();
    const watch = watcher.watch(pidfd, pollEvents.readable, () => ended.resolve());
    await ended.promise;
    watch[Symbol.dispose]();
    const [read, write] = kernel.pipe(openFlags.nonBlock);
    const before = fdCount();
    let wakes = 0;
    const buffer = new Uint8Array(8);
    let next = Promise.withResolvers<void>();
    const pipeWatch = watcher.watch(read, pollEvents.readable, () => {
      wakes++;
      kernel.read(read, buffer);
      next.resolve();
    });
    for (let n = 0; n < 100; n++) {
      next = Promise.withResolvers<void>();
      kernel.write(write, Buffer.from("x"));
      await next.promise;
    }
    expect(wakes).toBe(100);
    pipeWatch.change(0);
    kernel.write(write, Buffer.from("x"));
    await Bun.sleep(20);
    expect(wakes).toBe(100);
    pipeWatch[Symbol.dispose]();
    await Bun.sleep(5);
    expect(fdCount()).toBeLessThanOrEqual(before + 1);
    for (const fd of [pidfd, read, write]) kernel.close(fd);
    expect(failures).toEqual([]);
  });

  test("a callback that throws disturbs no other", async () => {
    const seen: unknown[] = [];
    using watcher = createFdWatcher({ kernel, onError: (error) => seen.push(error) });
    const [bad, good] = [kernel.eventFd(), kernel.eventFd()];
    const done = Promise.withResolvers<void>();
    const first = watcher.watch(bad, pollEvents.readable, () => {
      first[Symbol.dispose]();
      throw new Error("x");
    });
    watcher.watch(good, pollEvents.readable, () => {
      kernel.read(good, new Uint8Array(8));
      done.resolve();
    });
    for (const fd of [bad, good]) kernel.write(fd, new Uint8Array(new BigUint64Array([1n]).buffer));
    await done.promise;
    expect(seen.length).toBe(1);
    for (const fd of [bad, good]) kernel.close(fd);
  });
});

describe("struct layouts", () => {
  const compiler = Bun.which("cc") ?? Bun.which("gcc");

  test.skipIf(compiler === null)("are those of this machine's C compiler", () => {
    writeFileSync(
      at("layout.c"),
      `#define _GNU_SOURCE
#include <stdio.h>
#include <stddef.h>
#include <sys/socket.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <asm/termbits.h>
#include <fcntl.h>
int main(void) {
  printf("%zu %zu %zu %zu %zu ", sizeof(struct msghdr), offsetof(struct msghdr, msg_iov), offsetof(struct msghdr, msg_iovlen), offsetof(struct msghdr, msg_control), offsetof(struct msghdr, msg_controllen));
  printf("%zu %zu %zu ", sizeof(struct cmsghdr), offsetof(struct cmsghdr, cmsg_level), offsetof(struct cmsghdr, cmsg_type));
  printf("%zu %zu ", sizeof(struct epoll_event), offsetof(struct epoll_event, data));
  printf("%d %d %d ", O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK);
  printf("%zu %d %d %d ", sizeof(struct winsize), TIOCGWINSZ, TIOCSWINSZ, FIONREAD);
  printf("%zu %zu %zu %zu %zu ", sizeof(struct termios), offsetof(struct termios, c_oflag), offsetof(struct termios, c_cflag), offsetof(struct termios, c_lflag), offsetof(struct termios, c_cc) + VTIME);
  printf("%zu %d %d\\n", offsetof(struct termios, c_cc) + VMIN, IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON, ECHO | ECHONL | ICANON | ISIG | IEXTEN);
  return 0;
}`,
    );
    expect(Bun.spawnSync([compiler as string, "-o", at("layout"), at("layout.c")]).exitCode).toBe(0);
    const { header, control } = messageLayout;
    expect(
      Bun.spawnSync([at("layout")])
        .stdout.toString()
        .trim()
        .split(" ")
        .map(Number),
    ).toEqual([
      header.size,
      header.iov,
      header.iovLength,
      header.control,
      header.controlLength,
      control.size,
      control.level,
      control.type,
      epollEventLayout.size,
      epollEventLayout.data,
      archOpenFlags.directory,
      archOpenFlags.noFollow,
      openFlags.nonBlock,
      8,
      0x5413,
      0x5414,
      0x541b,
      termiosLayout.size,
      termiosLayout.output,
      termiosLayout.control,
      termiosLayout.local,
      termiosLayout.vtime,
      termiosLayout.vmin,
      rawClears.input,
      rawClears.local,
    ]);
    expect<number>(pidfdInfoLayout.size).toBe(8 + 8 + 11 * 4 + 4);
  });
});

describe("Kernel.memoryFile", () => {
  test("holds bytes that nobody changes any more once it is sealed", () => {
    const fd = kernel.memoryFile("sealed");
    try {
      kernel.write(fd, Buffer.from("bytes"));
      expect(kernel.isSealed(fd)).toBe(false);
      kernel.seal(fd);
      expect(kernel.isSealed(fd)).toBe(true);
      expect(code(() => kernel.write(fd, Buffer.from("more")))).toBe("EPERM");
      expect(code(() => kernel.seal(fd))).toBe("EPERM");
      expect(readFileSync(`/proc/self/fd/${fd}`, "utf8")).toBe("bytes");
      expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe("/memfd:sealed (deleted)");
    } finally {
      kernel.close(fd);
    }
  });

  test("a file of a folder has no seals", () => {
    writeFileSync(at("unsealed"), "");
    const fd = kernel.open(at("unsealed"), openFlags.readWrite);
    expect(kernel.isSealed(fd)).toBe(false);
    kernel.close(fd);
  });
});

describe("FakeKernel", () => {
  test("records calls and fails where it is told to", () => {
    const fake = createFakeKernel({ open: () => 7 });
    fake.fail("mount", 2);
    expect(code(() => fake.mount("a", "b", "c", 0, ""))).toBe("ENOENT");
    fake.mount("a", "b", "c", 0, "");
    expect(fake.open("x", 0)).toBe(7);
    expect(fake.calls.map((c) => c.name)).toEqual(["mount", "mount", "open"]);
    expect(isErrno(new Error("x"), "ENOENT")).toBe(false);
  });
});
