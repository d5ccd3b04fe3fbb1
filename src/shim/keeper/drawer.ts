import { closeQuietly, type Fd, type Kernel, OwnedFd } from "../../sys/index.ts";

/**
 * Descriptors that outlive this process for as long as somebody holds the drawer, and that go the moment they are thrown out.
 * Shape: a socket with one message in its queue that carries them; the socket itself is what a keeper gets, so that
 * whoever holds it can empty it at once, wherever copies of the socket lie.
 * Source: unix(7), SCM_RIGHTS: descriptors in a queue stay open.
 */
export class Drawer implements Disposable {
  readonly #kernel: Kernel;
  readonly #socket: OwnedFd;

  /** By which an empty one is filled. */
  #filler: OwnedFd | undefined;

  private constructor(kernel: Kernel, socket: Fd, filler?: Fd) {
    this.#kernel = kernel;
    this.#socket = new OwnedFd(kernel, socket);
    if (filler !== undefined) this.#filler = new OwnedFd(kernel, filler);
  }

  /** A new drawer with copies of descriptors, by name; one without any may be filled later, by this host alone. */
  static open(kernel: Kernel, contents: ReadonlyMap<string, Fd>): Drawer {
    const [from, to] = kernel.socketPair();
    const drawer = new Drawer(kernel, to, from);
    if (contents.size === 0) return drawer;
    try {
      drawer.fill(contents);
      return drawer;
    } catch (error) {
      drawer[Symbol.dispose]();
      throw error;
    }
  }

  /** Puts copies of descriptors, by name, into an empty drawer, once; whoever holds it has them from then on. */
  fill(contents: ReadonlyMap<string, Fd>): void {
    using filler = this.#filler;
    this.#filler = undefined;
    if (filler === undefined) throw new Error("a drawer is filled once, by the host that made it");
    this.#kernel.sendFds(filler.fd, Buffer.from(JSON.stringify([...contents.keys()])), [...contents.values()]);
  }

  /** A drawer of an earlier host, by its socket, which it owns from now on. */
  static found(kernel: Kernel, socket: Fd): Drawer {
    return new Drawer(kernel, socket);
  }

  /** The descriptor by which the drawer is kept. */
  get fd(): Fd {
    return this.#socket.fd;
  }

  /** Copies of what is inside, by name, for the caller to own; nothing when it was emptied. */
  copies(): Map<string, Fd> {
    const message = this.#kernel.receiveFds(this.fd, { peek: true });
    if (message === undefined || message.fds.length === 0) return new Map();
    const names: unknown = JSON.parse(Buffer.from(message.bytes).toString());
    const list = Array.isArray(names) ? names.map(String) : [];
    return new Map(message.fds.map((fd, n) => [list[n] ?? "", fd]));
  }

  /** Closes this copy and leaves what is inside to the other holders. */
  letGo(): void {
    this.#filler?.[Symbol.dispose]();
    this.#socket[Symbol.dispose]();
  }

  /** Throws out what is inside, for every holder of the drawer. */
  [Symbol.dispose](): void {
    this.#filler?.[Symbol.dispose]();
    if (!this.#socket.isOpen) return;
    for (const fd of this.#kernel.receiveFds(this.fd)?.fds ?? []) closeQuietly(this.#kernel, fd);
    this.#socket[Symbol.dispose]();
  }
}
