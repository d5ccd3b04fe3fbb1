import type { UnixSocketOptions } from "bun";
import { closeQuietly, type Fd } from "./files.ts";
import type { Kernel } from "./kernel.ts";
import { isErrno } from "./sys-error.ts";

/** One watched descriptor. Disposing ends the watch and leaves the descriptor open. */
export interface FdWatch extends Disposable {
  /** Asks for other events from now on; none keeps the watch but silences it (errors and hang-ups still come). */
  change(events: number): void;
}

/** Tells on the event loop when descriptors become ready: pidfds, eventfds, pipes, pty masters. */
export interface FdWatcher extends Disposable {
  /** Calls back with the ready events, as long as they stay ready (level-triggered), until the watch is disposed. */
  watch(fd: Fd, events: number, onReady: (events: number) => void): FdWatch;
}

export interface FdWatcherOptions {
  readonly kernel: Kernel;
  /** Takes what a callback throws. */
  readonly onError: (error: unknown) => void;
}

/**
 * Makes a watcher: one epoll set for all, which the runtime's own loop waits on.
 * Shape: the runtime has no way to wait on a foreign descriptor, but it adopts one as a socket and, when an epoll
 * descriptor "has data", finds that it is no socket and closes it: that close is the wake-up, and a fresh duplicate is
 * adopted for the next. One wake costs about 30 us and no thread (sys.test.ts pins this behaviour).
 */
export function createFdWatcher(options: FdWatcherOptions): FdWatcher {
  return new EpollWatcher(options);
}

class EpollWatcher implements FdWatcher {
  readonly #kernel: Kernel;
  readonly #onError: (error: unknown) => void;
  readonly #epoll: Fd;
  readonly #callbacks = new Map<Fd, (events: number) => void>();
  #armed: Fd | undefined;
  #disposed = false;

  constructor({ kernel, onError }: FdWatcherOptions) {
    this.#kernel = kernel;
    this.#onError = onError;
    this.#epoll = kernel.epollCreate();
  }

  watch(fd: Fd, events: number, onReady: (events: number) => void): FdWatch {
    this.#kernel.epollSet(this.#epoll, fd, events, false);
    this.#callbacks.set(fd, onReady);
    this.#arm();
    return {
      change: (next) => {
        if (this.#callbacks.get(fd) === onReady) this.#kernel.epollSet(this.#epoll, fd, next, true);
      },
      [Symbol.dispose]: () => {
        if (this.#callbacks.get(fd) !== onReady) return;
        this.#callbacks.delete(fd);
        this.#forget(fd);
      },
    };
  }

  [Symbol.dispose](): void {
    this.#disposed = true;
    this.#callbacks.clear();
    // Closing the set wakes nobody; the adopted duplicate goes with the process or with its last event.
    closeQuietly(this.#kernel, this.#epoll);
  }

  #forget(fd: Fd): void {
    if (this.#disposed) return;
    try {
      this.#kernel.epollRemove(this.#epoll, fd);
    } catch (error) {
      // The descriptor was closed first, which takes it out of the set.
      if (!isErrno(error, "EBADF", "ENOENT")) throw error;
    }
  }

  #arm(): void {
    if (this.#armed !== undefined || this.#disposed) return;
    const adopted = this.#kernel.duplicate(this.#epoll);
    this.#armed = adopted;
    const socket = {
      data: () => {},
      close: () => this.#wake(adopted),
      // A failure to read is how the wake-up looks; `close` follows.
      error: () => {},
    };
    // `fd` is not in the published types.
    const options = { fd: adopted, socket, data: undefined } as unknown as UnixSocketOptions<undefined>;
    Bun.connect(options).catch((error: unknown) => {
      this.#onError(error);
      this.#wake(adopted);
    });
  }

  #wake(adopted: Fd): void {
    if (this.#armed !== adopted) return;
    this.#armed = undefined;
    if (this.#disposed) return;
    for (const { fd, events } of this.#kernel.epollReady(this.#epoll)) {
      try {
        this.#callbacks.get(fd)?.(events);
      } catch (error) {
        this.#onError(error);
      }
    }
    if (this.#callbacks.size > 0) this.#arm();
  }
}
