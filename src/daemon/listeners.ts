import { chmodSync, existsSync, rmSync } from "node:fs";
import type { Logger } from "../lib/log.ts";
import { closeQuietly, type Fd, internetNameOf, type Kernel, OwnedFd } from "../sys/index.ts";
import { claimSocket, handOver } from "./sockets.ts";

/** A listening socket that comes from another process, or goes to one. */
export interface InheritedSocket {
  readonly fd: Fd;
  /** The file is ours to remove at the end; one of a service manager's stays. */
  readonly ownsFile: boolean;
}

export interface SocketAccess {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
}

/**
 * The sockets on which the daemon listens. They are this process's and not a server's: a server is given a descriptor of its
 * own, and while none serves, whoever connects waits instead of being refused.
 * Effects: disposing closes them, and removes the files of those that are ours.
 */
export interface Listeners extends Disposable {
  /** Makes room for a socket that is to be opened. Errors: those of claimSocket, where none was inherited. */
  claim(path: string): Promise<void>;
  /** A descriptor to serve on, for its taker to close. One that a service manager made keeps its mode and owner. */
  open(path: string, access: SocketAccess): Promise<Fd>;
  /** As `open`, of TCP; `host` is an address in numbers. Errors: what listening says, EADDRINUSE among it. */
  openTcp(host: string, port: number): Fd;
  /** Lets go of what was inherited and no server opened. */
  dropUnclaimed(): void;
  /** Those that a successor goes on with. */
  readonly handed: readonly InheritedSocket[];
  /** Says whether the files are this process's to remove: not once a successor has them, nor before a predecessor gave them. */
  keepFiles(ours: boolean): void;
}

type SocketKernel = Pick<
  Kernel,
  "listenUnix" | "listenTcp" | "listeningPath" | "listeningAddress" | "duplicate" | "close" | "setNonBlocking"
>;

/** As many clients as the kernel lets wait; it takes net.core.somaxconn where that is less. */
const backlog = 4096;

/** Makes the set of listening sockets, with those that were inherited already in it. */
export function createListeners(inherited: readonly InheritedSocket[], kernel: SocketKernel, log: Logger): Listeners {
  return new ProcessListeners(inherited, kernel, log);
}

interface Listener {
  readonly socket: OwnedFd;
  readonly ownsFile: boolean;
  opened: boolean;
}

class ProcessListeners implements Listeners {
  readonly #kernel: SocketKernel;
  readonly #log: Logger;
  readonly #listeners = new Map<string, Listener>();
  #hasFiles = true;

  constructor(inherited: readonly InheritedSocket[], kernel: SocketKernel, log: Logger) {
    this.#kernel = kernel;
    this.#log = log;
    for (const one of inherited) this.#adopt(one);
  }

  async claim(path: string): Promise<void> {
    if (!this.#listeners.has(path)) await claimSocket(path);
  }

  async open(path: string, access: SocketAccess): Promise<Fd> {
    const known = this.#known(path) ?? this.#make(path);
    known.opened = true;
    if (known.ownsFile) {
      chmodSync(path, access.mode);
      await handOver(path, access.uid, access.gid);
    }
    return this.#kernel.duplicate(known.socket.fd);
  }

  openTcp(host: string, port: number): Fd {
    const name = internetNameOf(host, port);
    const known = (name === undefined ? undefined : this.#listeners.get(name)) ?? this.#makeTcp(host, port);
    known.opened = true;
    return this.#kernel.duplicate(known.socket.fd);
  }

  dropUnclaimed(): void {
    for (const [path, listener] of this.#listeners) {
      if (listener.opened) continue;
      this.#log.warn("a socket was handed over that nothing here serves", { address: path });
      this.#listeners.delete(path);
      this.#end(path, listener);
    }
  }

  get handed(): readonly InheritedSocket[] {
    return [...this.#listeners.values()].map(({ socket, ownsFile }) => ({ fd: socket.fd, ownsFile }));
  }

  keepFiles(ours: boolean): void {
    this.#hasFiles = ours;
  }

  [Symbol.dispose](): void {
    for (const [path, listener] of this.#listeners) this.#end(path, listener);
    this.#listeners.clear();
  }

  /** A copy that closes on exec takes the place of what was inherited, which would not. */
  #adopt({ fd, ownsFile }: InheritedSocket): void {
    const path = this.#kernel.listeningPath(fd) ?? this.#kernel.listeningAddress(fd);
    if (path === undefined || this.#listeners.has(path)) {
      this.#log.warn("what was handed over is no socket that listens", { fd });
    } else {
      const socket = new OwnedFd(this.#kernel, this.#kernel.duplicate(fd));
      // A service manager's block, and accept is called until there is nothing more.
      this.#kernel.setNonBlocking(socket.fd, true);
      this.#listeners.set(path, { socket, ownsFile, opened: false });
    }
    closeQuietly(this.#kernel, fd);
  }

  /** A socket whose file somebody removed is out of reach for everybody, and of no use. */
  #known(path: string): Listener | undefined {
    const known = this.#listeners.get(path);
    if (known === undefined || !known.ownsFile || existsSync(path)) return known;
    known.socket[Symbol.dispose]();
    return undefined;
  }

  #make(path: string): Listener {
    // The socket exists from bind on; the mask keeps others out until chmod gave it its mode. Both are synchronous.
    const mask = process.umask(0o177);
    try {
      const socket = new OwnedFd(this.#kernel, this.#kernel.listenUnix(path, backlog));
      const listener = { socket, ownsFile: true, opened: false };
      this.#listeners.set(path, listener);
      return listener;
    } finally {
      process.umask(mask);
    }
  }

  /** Named by where it is in fact: a port of 0 is the kernel's choice. */
  #makeTcp(host: string, port: number): Listener {
    const socket = new OwnedFd(this.#kernel, this.#kernel.listenTcp(host, port, backlog));
    const listener = { socket, ownsFile: false, opened: false };
    this.#listeners.set(this.#kernel.listeningAddress(socket.fd) ?? "", listener);
    return listener;
  }

  /** The file goes first: whoever comes then finds nobody, and is not left waiting for one who never accepts. */
  #end(path: string, { socket, ownsFile }: Listener): void {
    if (ownsFile && this.#hasFiles) rmSync(path, { force: true });
    socket[Symbol.dispose]();
  }
}

/**
 * The sockets that a service manager passes on, by sd_listen_fds(3). The variables are taken out of the environment, so that no
 * child takes them for its own.
 */
export function activatedSockets(env: Record<string, string | undefined>): readonly InheritedSocket[] {
  const [pid, count] = [env["LISTEN_PID"], env["LISTEN_FDS"]];
  for (const name of ["LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PIDFDID"]) delete env[name];
  if (pid !== String(process.pid) || count === undefined || !/^\d{1,4}$/.test(count)) return [];
  return Array.from({ length: Number(count) }, (_, n) => ({ fd: firstListenFd + n, ownsFile: false }));
}

/** Source: systemd, sd-daemon.h, SD_LISTEN_FDS_START. */
const firstListenFd = 3;
