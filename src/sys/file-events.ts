import type { Fd } from "./files.ts";
import { check, cString, lazyLibrary } from "./libc.ts";

/** Event bits of inotify(7) that are asked for or come unasked. */
export const fileEvents = { modified: 0x2, overflow: 0x4000 } as const;

export interface FileEvent {
  /** What `inotifyAdd` answered; -1 for an overflow. */
  readonly watch: number;
  readonly events: number;
}

export interface FileEventCalls {
  /** A descriptor that becomes readable when a watched file changes. Source: inotify_init1(2), non-blocking. */
  inotifyCreate(): Fd;
  /** Watches a file. Source: inotify_add_watch(2). */
  inotifyAdd(inotify: Fd, path: string, events: number): number;
  inotifyRemove(inotify: Fd, watch: number): void;
  /** Gives the blocks of a part of a file back; its length stays, and the part reads as zeros. Source: fallocate(2). */
  punchHole(fd: Fd, offset: number, length: number): void;
}

const libc = lazyLibrary({
  inotify_init1: { args: ["i32"], returns: "i32" },
  inotify_add_watch: { args: ["i32", "ptr", "u32"], returns: "i32" },
  inotify_rm_watch: { args: ["i32", "i32"], returns: "i32" },
  fallocate: { args: ["i32", "i32", "i64", "i64"], returns: "i32" },
});

const [nonBlocking, closeOnExec] = [0o4000, 0o2000000];
const [keepSize, hole] = [1, 2];

/** SAFETY: paths live through the call. JUSTIFICATION: the runtime's own watching starts a thread and cannot be held back. */
export const fileEventCalls: FileEventCalls = {
  inotifyCreate: () => check("inotify_init1", () => libc().inotify_init1(nonBlocking | closeOnExec)),
  inotifyAdd: (inotify, path, events) => {
    const name = cString(path);
    return check("inotify_add_watch", () => libc().inotify_add_watch(inotify, name, events), path);
  },
  inotifyRemove: (inotify, watch) => {
    check("inotify_rm_watch", () => libc().inotify_rm_watch(inotify, watch));
  },
  punchHole: (fd, offset, length) => {
    check("fallocate", () => libc().fallocate(fd, keepSize | hole, BigInt(offset), BigInt(length)));
  },
};

/** struct inotify_event: watch, events, cookie, length of the name, name. Source: inotify(7). */
const eventBytes = 16;

/** What was read from an inotify descriptor. */
export function readFileEvents(bytes: Uint8Array): readonly FileEvent[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const found: FileEvent[] = [];
  for (let at = 0; at + eventBytes <= bytes.length; at += eventBytes + view.getUint32(at + 12, true)) {
    found.push({ watch: view.getInt32(at, true), events: view.getUint32(at + 4, true) });
  }
  return found;
}
