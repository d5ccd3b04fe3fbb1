import { closeQuietly, type Fd, type Kernel, OwnedFd, openFlags, pollEvents } from "../../sys/index.ts";

/**
 * The stdin of a process that was created and is not started yet: its FIFO has a reader, and no writer of the host's.
 * A client's input may end before it knows of the process. It has nobody to send CloseIO to then, and the process would wait for
 * ever: ctr, which looks for its task's name at the end of its input, does that with all that a pipe holds. So the host's writer,
 * which keeps a FIFO from ending while clients come and go, comes at the start, when every client knows.
 */
export class PendingStdin implements Disposable {
  readonly #kernel: Kernel;
  readonly #reader: OwnedFd;

  /** Owns the reader from now on. */
  constructor(kernel: Kernel, reader: Fd) {
    this.#kernel = kernel;
    this.#reader = new OwnedFd(kernel, reader);
  }

  /** True when the FIFO had a writer and has none any more; one that nobody ever opened for writing has not ended. */
  get hasEnded(): boolean {
    const kernel = this.#kernel;
    const epoll = kernel.epollCreate();
    try {
      kernel.epollSet(epoll, this.#reader.fd, pollEvents.hangUp, false);
      return kernel.epollReady(epoll).some(({ events }) => (events & pollEvents.hangUp) !== 0);
    } finally {
      closeQuietly(kernel, epoll);
    }
  }

  /** The writer that keeps the FIFO from ending, wherever its name has gone; undefined where it has ended. */
  hold(): OwnedFd | undefined {
    if (this.hasEnded) return undefined;
    const path = `/proc/self/fd/${this.#reader.fd}`;
    return new OwnedFd(this.#kernel, this.#kernel.open(path, openFlags.writeOnly | openFlags.nonBlock));
  }

  [Symbol.dispose](): void {
    this.#reader[Symbol.dispose]();
  }
}
