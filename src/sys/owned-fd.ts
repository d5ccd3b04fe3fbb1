import type { Fd, FileCalls } from "./files.ts";

/** A descriptor with one owner, closed once: a second close could hit a stranger that got the same number. */
export class OwnedFd implements Disposable {
  readonly fd: Fd;
  readonly #kernel: Pick<FileCalls, "close">;
  #open = true;

  constructor(kernel: Pick<FileCalls, "close">, fd: Fd) {
    this.#kernel = kernel;
    this.fd = fd;
  }

  get isOpen(): boolean {
    return this.#open;
  }

  [Symbol.dispose](): void {
    if (!this.#open) return;
    this.#open = false;
    this.#kernel.close(this.fd);
  }
}
