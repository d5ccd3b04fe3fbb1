import { chmodSync, existsSync, rmSync } from "node:fs";
import { FaultError } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import { closeQuietly, type Fd, internetNameOf, type Kernel, OwnedFd } from "../../sys/index.ts";
import { claimSocket, handOver } from "./sockets.ts";

/** A listening socket that comes from another process, or goes to one. */
export interface InheritedSocket {
  readonly fd: Fd;
  /** There is a file, which a daemon made and whoever is the last to have the socket removes; one of a service manager's stays. */
  readonly ownsFile: boolean;
  /** Of TCP with a port of the kernel's choice: by whom and for what it was asked for. */
  readonly asked?: string | undefined;
}

/** Where the sockets came from that this process was started with. */
export type SocketSource = "a service manager" | "the daemon before";

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
  /**
   * A descriptor to serve on, for its taker to close. One that a service manager made keeps its mode and owner.
   * Errors: failedPrecondition (another server of this daemon has it: each would get some of the other's clients).
   */
  open(path: string, access: SocketAccess): Promise<Fd>;
  /**
   * As `open`, of TCP; `host` is an address in numbers. A port of 0 is the kernel's choice, which stays for whoever asks under the
   * same `name`. Errors: as `open`; what listening says, EADDRINUSE among it.
   */
  openTcp(name: string, host: string, port: number): Fd;
  /** Lets go of what no server has opened since this was called last. */
  dropUnclaimed(): void;
  /** Those that a successor goes on with. */
  readonly handed: readonly InheritedSocket[];
  /**
   * Says whether the files of sockets that two daemons have are this process's to remove: not once a successor serves on them, nor
   * before a predecessor is gone.
   */
  keepFiles(ours: boolean): void;
}

type SocketKernel = Pick<
  Kernel,
  "listenUnix" | "listenTcp" | "listeningPath" | "listeningAddress" | "duplicate" | "close" | "setNonBlocking"
>;

/** As many clients as the kernel lets wait; it takes net.core.somaxconn where that is less. */
const backlog = 4096;

export interface ListenersOptions {
  readonly inherited: readonly InheritedSocket[];
  readonly from: SocketSource;
  readonly kernel: SocketKernel;
  readonly log: Logger;
}

/** Makes the set of listening sockets, with those that were inherited already in it. */
export function createListeners(options: ListenersOptions): Listeners {
  return new ProcessListeners(options);
}

interface Listener {
  readonly socket: OwnedFd;
  /** Whose its file is; a `shared` one is another daemon's, too. */
  file: "ours" | "shared" | "none";
  readonly asked?: string | undefined;
  opened: boolean;
}

class ProcessListeners implements Listeners {
  readonly #kernel: SocketKernel;
  readonly #log: Logger;
  readonly #from: SocketSource;
  readonly #listeners = new Map<string, Listener>();

  constructor({ inherited, from, kernel, log }: ListenersOptions) {
    this.#kernel = kernel;
    this.#log = log;
    this.#from = from;
    for (const one of inherited) this.#adopt(one);
  }

  async claim(path: string): Promise<void> {
    if (!this.#listeners.has(path)) await claimSocket(path);
  }

  async open(path: string, access: SocketAccess): Promise<Fd> {
    const known = this.#known(path) ?? this.#make(path);
    take(known, path);
    if (known.file !== "none") {
      chmodSync(path, access.mode);
      await handOver(path, access.uid, access.gid);
    }
    return this.#kernel.duplicate(known.socket.fd);
  }

  openTcp(name: string, host: string, port: number): Fd {
    const place = internetNameOf(host, port) ?? "";
    const asked = port === 0 ? `${name} ${place}` : undefined;
    const known = asked === undefined ? this.#listeners.get(place) : this.#askedFor(asked);
    const listener = known ?? this.#makeTcp(host, port, asked);
    take(listener, place);
    return this.#kernel.duplicate(listener.socket.fd);
  }

  dropUnclaimed(): void {
    for (const [path, listener] of this.#listeners) {
      const wanted = listener.opened;
      listener.opened = false;
      if (wanted) continue;
      if (this.#from === "a service manager")
        this.#log.warn("a socket was handed over that nothing here serves", { address: path });
      else this.#log.info("nothing serves this socket of the daemon before any more", { address: path });
      this.#listeners.delete(path);
      this.#end(path, listener);
    }
  }

  get handed(): readonly InheritedSocket[] {
    return [...this.#listeners.values()].map(({ socket, file, asked }) => ({
      fd: socket.fd,
      ownsFile: file !== "none",
      asked,
    }));
  }

  keepFiles(ours: boolean): void {
    const [from, to] = ours ? (["shared", "ours"] as const) : (["ours", "shared"] as const);
    for (const listener of this.#listeners.values()) if (listener.file === from) listener.file = to;
  }

  [Symbol.dispose](): void {
    for (const [path, listener] of this.#listeners) this.#end(path, listener);
    this.#listeners.clear();
  }

  /** A copy that closes on exec takes the place of what was inherited, which would not. */
  #adopt({ fd, ownsFile, asked }: InheritedSocket): void {
    const path = this.#kernel.listeningPath(fd) ?? this.#kernel.listeningAddress(fd);
    if (path === undefined || this.#listeners.has(path)) {
      this.#log.warn("what was handed over is no socket that listens", { fd });
    } else {
      const socket = new OwnedFd(this.#kernel, this.#kernel.duplicate(fd));
      // A service manager's block, and accept is called until there is nothing more.
      this.#kernel.setNonBlocking(socket.fd, true);
      this.#listeners.set(path, { socket, file: ownsFile ? "shared" : "none", asked, opened: false });
    }
    closeQuietly(this.#kernel, fd);
  }

  /** A socket whose file somebody removed is out of reach for everybody, and of no use. */
  #known(path: string): Listener | undefined {
    const known = this.#listeners.get(path);
    if (known === undefined || known.file === "none" || existsSync(path)) return known;
    known.socket[Symbol.dispose]();
    return undefined;
  }

  #make(path: string): Listener {
    // The socket exists from bind on; the mask keeps others out until chmod gave it its mode. Both are synchronous.
    const mask = process.umask(0o177);
    try {
      const socket = new OwnedFd(this.#kernel, this.#kernel.listenUnix(path, backlog));
      const listener: Listener = { socket, file: "ours", opened: false };
      this.#listeners.set(path, listener);
      return listener;
    } finally {
      process.umask(mask);
    }
  }

  #askedFor(asked: string): Listener | undefined {
    return [...this.#listeners.values()].find((listener) => listener.asked === asked);
  }

  /** Named by where it is in fact. */
  #makeTcp(host: string, port: number, asked: string | undefined): Listener {
    const socket = new OwnedFd(this.#kernel, this.#kernel.listenTcp(host, port, backlog));
    const listener: Listener = { socket, file: "none", asked, opened: false };
    this.#listeners.set(this.#kernel.listeningAddress(socket.fd) ?? "", listener);
    return listener;
  }

  /** The file goes first: whoever comes then finds nobody, and is not left waiting for one who never accepts. */
  #end(path: string, { socket, file }: Listener): void {
    if (file === "ours") rmSync(path, { force: true });
    socket[Symbol.dispose]();
  }
}

function take(listener: Listener, place: string): void {
  if (listener.opened)
    throw new FaultError(
      "failedPrecondition",
      `another server of this daemon listens on ${place} already; choose another address for one of them`,
    );
  listener.opened = true;
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
