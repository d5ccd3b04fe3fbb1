import type { Clock } from "../../lib/clock.ts";
import type { Logger } from "../../lib/log.ts";
import { LogRecorder, type LogTarget, logTargetOf, targetsOf } from "../../lib/output-log/index.ts";
import {
  type Fd,
  type FdWatch,
  type FdWatcher,
  fileEvents,
  isErrno,
  type Kernel,
  pollEvents,
  readFileEvents,
} from "../../sys/index.ts";

export interface OutputLogsOptions {
  readonly kernel: Kernel;
  readonly watcher: FdWatcher;
  readonly log: Logger;
  readonly now: Clock;
}

/** Logs are looked at this often at most, however much is written: a line's time is true to this. */
const restMs = 20;

/**
 * Notes the times of output that processes write straight into their logs, and keeps the logs within their bounds.
 * Shape: the kernel tells that a log grew (inotify); no byte of it is read. What was written while no host lived counts as
 * having come when the next one looked.
 */
export class OutputLogs implements Disposable {
  readonly #options: OutputLogsOptions;
  readonly #byPath = new Map<string, { readonly watch: number; readonly recorder: LogRecorder }>();
  readonly #byWatch = new Map<number, string>();
  #inotify: Fd | undefined;
  #watch: FdWatch | undefined;
  #rest: ReturnType<typeof setTimeout> | undefined;

  constructor(options: OutputLogsOptions) {
    this.#options = options;
  }

  /** Looks after the log that an output's address asks for, if it asks for one. Effects: a failure is logged; the process runs all the same. */
  watch(address: string): void {
    const target = logTargetOf(address);
    if (target !== undefined) for (const file of targetsOf(target)) this.#begin(file);
  }

  #begin(target: LogTarget): void {
    if (this.#byPath.has(target.path)) return;
    const { kernel, now } = this.#options;
    try {
      const punchHole = (fd: Fd, offset: number, length: number): void => kernel.punchHole(fd, offset, length);
      const recorder = new LogRecorder({ target, punchHole });
      const watch = kernel.inotifyAdd(this.#open(), target.path, fileEvents.modified);
      this.#byPath.set(target.path, { watch, recorder });
      this.#byWatch.set(watch, target.path);
      recorder.note(now().ms);
    } catch (error) {
      this.#complain(target.path, error);
    }
  }

  /** The process has ended: what it wrote last is noted, and its log is left alone. */
  finish(address: string): void {
    const target = logTargetOf(address);
    if (target !== undefined) for (const { path } of targetsOf(target)) this.#finish(path);
  }

  #finish(path: string): void {
    const found = this.#byPath.get(path);
    if (found === undefined) return;
    this.#note(path);
    this.#byPath.delete(path);
    this.#byWatch.delete(found.watch);
    try {
      this.#options.kernel.inotifyRemove(this.#open(), found.watch);
    } catch (error) {
      // The file was removed, and its watch with it.
      if (!isErrno(error, "EINVAL")) this.#complain(path, error);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#rest);
    this.#watch?.[Symbol.dispose]();
    if (this.#inotify !== undefined) this.#options.kernel.close(this.#inotify);
    this.#inotify = undefined;
  }

  #open(): Fd {
    if (this.#inotify !== undefined) return this.#inotify;
    const { kernel, watcher } = this.#options;
    const inotify = kernel.inotifyCreate();
    this.#inotify = inotify;
    this.#watch = watcher.watch(inotify, pollEvents.readable, () => this.#look(inotify));
    return inotify;
  }

  /** Notes what grew, and then rests, so that a process that writes without end costs no more than a look now and then. */
  #look(inotify: Fd): void {
    // One moment for all: what came on two streams between two looks has one time.
    const { ms } = this.#options.now();
    for (const path of this.#grown(inotify)) this.#note(path, ms);
    this.#watch?.change(0);
    this.#rest = setTimeout(() => this.#watch?.change(pollEvents.readable), restMs);
  }

  #grown(inotify: Fd): ReadonlySet<string> {
    const grown = new Set<string>();
    const buffer = new Uint8Array(16 * 1024);
    try {
      for (const event of readFileEvents(buffer.subarray(0, this.#options.kernel.read(inotify, buffer)))) {
        if ((event.events & fileEvents.overflow) !== 0) return new Set(this.#byPath.keys());
        const path = this.#byWatch.get(event.watch);
        if (path !== undefined) grown.add(path);
      }
    } catch (error) {
      if (!isErrno(error, "EAGAIN")) throw error;
    }
    return grown;
  }

  #note(path: string, ms: number = this.#options.now().ms): void {
    try {
      this.#byPath.get(path)?.recorder.note(ms);
    } catch (error) {
      // A log that was removed under its container is nobody's loss.
      if (!isErrno(error, "ENOENT")) this.#complain(path, error);
    }
  }

  #complain(path: string, error: unknown): void {
    this.#options.log.warn("a log's times or its bound are not kept", { path, error });
  }
}
