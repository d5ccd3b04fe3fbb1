import { createServer as createHttpServer, type RequestListener, type ServerResponse } from "node:http";
import { type Server as Acceptor, createServer, type Socket } from "node:net";
import type { Fd } from "../../sys/index.ts";
import type { Listeners } from "./listeners.ts";
import { socketPath } from "./sockets.ts";
import { openTcpPlace, tcpPlaceOf } from "./tcp-place.ts";

/** Where a page is served: a path, or HOST:PORT, as containerd takes them. */
export interface HttpPlace {
  readonly address: string;
  readonly uid: number;
  readonly gid: number;
  /** Where `:PORT` is: on every address of the machine, as Go has it; on the loopback one by itself. */
  readonly isOpen?: boolean;
}

/**
 * A socket to serve a page on, for its taker to close; a file is its owner's alone, and its group's. `name` tells the sockets of one
 * daemon apart. Errors: those of claimSocket, and of listening.
 */
export async function openHttpPlace(listeners: Listeners, name: string, place: HttpPlace): Promise<Fd> {
  const { address, uid, gid, isOpen = false } = place;
  const tcp = tcpPlaceOf(address.replace(/^tcp:\/\//, ""));
  if (tcp !== undefined) {
    const host = tcp.host || (isOpen ? "" : "127.0.0.1");
    return openTcpPlace(listeners, name, { host, port: tcp.port });
  }
  const path = socketPath(address);
  await listeners.claim(path);
  return listeners.open(path, { mode: 0o660, uid, gid });
}

interface Visit {
  readonly since: number;
  underWay: number;
  answered: boolean;
}

/** How long one who has connected may say nothing when the server closes. */
const silenceMs = 1_000;
/** For how long a connection that nobody uses is kept. */
const idleMs = 120_000;
const drainTickMs = 5;

/** Answers requests on a socket that listens already, until it is closed. Whoever has connected by then is still answered. */
export class HttpService implements AsyncDisposable {
  readonly #acceptor: Acceptor;
  readonly #visits = new Map<Socket, Visit>();
  #closing: Promise<void> | undefined;

  /** Begins at once. Effects: owns the descriptor. */
  constructor(fd: Fd, answer: RequestListener) {
    const http = createHttpServer((request, response) => {
      this.#count(request.socket, response);
      answer(request, response);
    });
    // An HTTP server of this runtime listens on no descriptor, but serves the connections that it is given.
    this.#acceptor = createServer((socket) => {
      this.#visits.set(socket, { since: performance.now(), underWay: 0, answered: false });
      socket.once("close", () => void this.#visits.delete(socket));
      socket.setTimeout(idleMs, () => socket.destroy());
      // Who hangs up in the middle needs no word, and ends no process.
      socket.on("error", () => socket.destroy());
      http.emit("connection", socket);
    });
    this.#acceptor.listen({ fd });
  }

  /** Takes no more connections, gives those that there are so long to have their answers, and hangs up. */
  close(graceMs: number): Promise<void> {
    this.#closing ??= this.#close(graceMs);
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close(0);
  }

  async #close(graceMs: number): Promise<void> {
    const begun = performance.now();
    this.#acceptor.close();
    for (;;) {
      const now = performance.now();
      for (const [socket, visit] of this.#visits)
        if (isIdle(visit, now) && socket.writableLength === 0) socket.destroy();
      if (this.#visits.size === 0 || now - begun >= graceMs) break;
      await Bun.sleep(drainTickMs);
    }
    for (const socket of this.#visits.keys()) socket.destroy();
  }

  #count(socket: Socket, response: ServerResponse): void {
    const visit = this.#visits.get(socket);
    if (visit === undefined) return;
    if (this.#closing !== undefined) response.setHeader("connection", "close");
    visit.underWay += 1;
    response.once("close", () => {
      visit.underWay -= 1;
      visit.answered = true;
    });
  }
}

function isIdle({ underWay, answered, since }: Visit, now: number): boolean {
  return underWay === 0 && (answered || now - since > silenceMs);
}
