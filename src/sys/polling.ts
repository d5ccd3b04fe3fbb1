import type { Fd } from "./files.ts";
import { check, lazyLibrary } from "./libc.ts";

/** Event bits of epoll(7). */
export const pollEvents = { readable: 1, writable: 4, error: 8, hangUp: 16 } as const;

export interface ReadyFd {
  readonly fd: Fd;
  readonly events: number;
}

export interface PollCalls {
  /** Source: epoll_create1(2). */
  epollCreate(): Fd;
  /** Adds a descriptor, or changes what is asked of it. Source: epoll_ctl(2). */
  epollSet(epoll: Fd, fd: Fd, events: number, known: boolean): void;
  epollRemove(epoll: Fd, fd: Fd): void;
  /** What is ready now, at most 64; never waits. Source: epoll_wait(2) with a timeout of 0. */
  epollReady(epoll: Fd): readonly ReadyFd[];
  /** A counter that the kernel can count up for a cgroup's OOM killer. Source: eventfd(2), non-blocking. */
  eventFd(): Fd;
}

const libc = lazyLibrary({
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
});

const [add, remove, modify] = [1, 2, 3];
const [nonBlocking, closeOnExec] = [0o4000, 0o2000000];
const batch = 64;

/** struct epoll_event is packed on x86-64 only. Source: linux/eventpoll.h, EPOLL_PACKED. */
export const epollEventLayout: { readonly size: number; readonly data: number } =
  process.arch === "x64" ? { size: 12, data: 4 } : { size: 16, data: 8 };

/** SAFETY: the event buffer is as long as the kernel is told. JUSTIFICATION: the runtime watches no foreign descriptors. */
export const pollCalls: PollCalls = {
  epollCreate: () => check("epoll_create1", () => libc().epoll_create1(closeOnExec)),
  epollSet: (epoll, fd, events, known) => {
    const view = new DataView(new ArrayBuffer(epollEventLayout.size));
    view.setUint32(0, events, true);
    view.setInt32(epollEventLayout.data, fd, true);
    const event = new Uint8Array(view.buffer);
    check("epoll_ctl", () => libc().epoll_ctl(epoll, known ? modify : add, fd, event));
  },
  epollRemove: (epoll, fd) => {
    const unused = new Uint8Array(epollEventLayout.size);
    check("epoll_ctl", () => libc().epoll_ctl(epoll, remove, fd, unused));
  },
  epollReady: (epoll) => {
    const events = new Uint8Array(epollEventLayout.size * batch);
    const count = check("epoll_wait", () => libc().epoll_wait(epoll, events, batch, 0));
    const view = new DataView(events.buffer);
    return Array.from({ length: count }, (_, n) => ({
      fd: view.getInt32(n * epollEventLayout.size + epollEventLayout.data, true),
      events: view.getUint32(n * epollEventLayout.size, true),
    }));
  },
  eventFd: () => check("eventfd", () => libc().eventfd(0, nonBlocking | closeOnExec)),
};
