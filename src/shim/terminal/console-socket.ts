import { rmSync } from "node:fs";
import { join } from "node:path";
import { FaultError } from "../../lib/faults.ts";
import { closeQuietly, type Fd, type Kernel } from "../../sys/index.ts";

/** The longest path of a unix socket. Source: unix(7). */
const maxPathBytes = 107;

/** The socket on which a runtime hands over a terminal's master. */
export class ConsoleSocket implements Disposable {
  readonly path: string;
  readonly #kernel: Kernel;
  readonly #listener: Fd;

  constructor(kernel: Kernel, folder: string) {
    this.#kernel = kernel;
    const name = `pty-${crypto.randomUUID().slice(0, 13)}.sock`;
    const inside = join(folder, name);
    this.path = Buffer.byteLength(inside) <= maxPathBytes ? inside : join("/tmp", `lighter-${name}`);
    const mask = process.umask(0o177);
    try {
      this.#listener = kernel.listenUnix(this.path);
    } finally {
      process.umask(mask);
    }
  }

  /**
   * Takes the master that the runtime sent.
   * Shape: to be called once the runtime has ended well: it connects and sends before it does, so nothing is waited for.
   * Errors: unknown when it sent none.
   */
  receiveMaster(): Fd {
    const connection = this.#kernel.accept(this.#listener);
    if (connection === undefined)
      throw new FaultError("unknown", "failed to retrieve console master: nothing was sent");
    try {
      const [master, ...others] = this.#kernel.receiveFds(connection)?.fds ?? [];
      for (const fd of others) closeQuietly(this.#kernel, fd);
      if (master === undefined)
        throw new FaultError("unknown", "failed to retrieve console master: no descriptor came");
      return master;
    } finally {
      closeQuietly(this.#kernel, connection);
    }
  }

  [Symbol.dispose](): void {
    closeQuietly(this.#kernel, this.#listener);
    rmSync(this.path, { force: true });
  }
}
