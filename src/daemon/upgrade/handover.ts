import { FaultError, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { ReturningSubscribers } from "../../plugin/index.ts";
import { createFdWatcher, type Fd, isErrno, type Kernel, OwnedFd, pollEvents } from "../../sys/index.ts";
import type { InheritedSocket } from "../listeners/listeners.ts";

/** What subscribers have heard of a daemon that has let go. */
export type HeardBefore = Omit<ReturningSubscribers, "forMs">;

/** What a daemon and its successor say to each other, a message a line of thought. A version that knows others adds to it. */
export type HandoverMessage =
  /** The successor has read its configuration and could begin. */
  | { readonly type: "prepared" }
  /** The daemon has let go of everything. */
  | ({ readonly type: "go" } & HeardBefore)
  /** The successor serves. */
  | { readonly type: "ready" }
  /** The service manager knows of the successor: the daemon ends. */
  | { readonly type: "main" }
  /** Why the successor ends. */
  | { readonly type: "failed"; readonly reason: string };

/** In whatever letters and however escaped, it fits into the 4096 bytes that are received at once. */
const reasonMaxLength = 600;

/** The variable by which a successor knows that it is one. */
export const handoverVariable = "LIGHTER_HANDOVER";

/** What stands in it. */
export interface Handover {
  readonly protocol: number;
  /** The descriptor of the channel. */
  readonly channel: Fd;
  /** The name under which the daemon goes, which picks its defaults. */
  readonly program: string;
  readonly pid: number;
  readonly sockets: readonly InheritedSocket[];
}

/**
 * One end of the line between a daemon and its successor. The kernel keeps messages whole, and tells each side when the other
 * process is gone, however it went.
 */
export class HandoverChannel implements Disposable {
  readonly #kernel: Kernel;
  readonly #owned: OwnedFd;
  readonly #stack = new DisposableStack();
  readonly #messages: HandoverMessage[] = [];
  #ended = false;
  #wake: () => void = () => {};

  constructor(kernel: Kernel, fd: Fd, log: Logger) {
    this.#kernel = kernel;
    this.#owned = this.#stack.use(new OwnedFd(kernel, fd));
    const onError = (error: unknown): void => log.error("line between a daemon and its successor", { error });
    const watcher = this.#stack.use(createFdWatcher({ kernel, onError }));
    this.#stack.use(watcher.watch(fd, pollEvents.readable, () => this.#read()));
  }

  /** Effects: none when the other side is gone, which `next` tells. */
  send(message: HandoverMessage): void {
    if (!this.#owned.isOpen) return;
    try {
      this.#kernel.sendFds(this.#owned.fd, new TextEncoder().encode(JSON.stringify(message)), []);
    } catch (error) {
      if (!isErrno(error, "EPIPE", "ECONNRESET", "ENOTCONN")) throw error;
    }
  }

  /** The next message; undefined when the other side is gone, or the signal fires. */
  async next(signal?: AbortSignal): Promise<HandoverMessage | undefined> {
    while (this.#messages.length === 0 && !this.#ended && signal?.aborted !== true) {
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      signal?.addEventListener("abort", () => resolve(), { once: true });
      await promise;
    }
    return this.#messages.shift();
  }

  [Symbol.dispose](): void {
    this.#ended = true;
    this.#stack.dispose();
    this.#wake();
  }

  #read(): void {
    for (;;) {
      const message = this.#receive();
      if (message === undefined) return;
      if (message === "end") {
        this[Symbol.dispose]();
        return;
      }
      this.#messages.push(message);
      this.#wake();
    }
  }

  #receive(): HandoverMessage | "end" | undefined {
    try {
      const received = this.#kernel.receiveFds(this.#owned.fd);
      if (received === undefined) return undefined;
      if (received.bytes.length === 0) return "end";
      return JSON.parse(new TextDecoder().decode(received.bytes)) as HandoverMessage;
    } catch (error) {
      if (isErrno(error, "ECONNRESET")) return "end";
      throw error;
    }
  }
}

/** The daemon in whose place this process is to come. */
export interface Predecessor extends Disposable {
  readonly program: string;
  readonly pid: number;
  readonly sockets: readonly InheritedSocket[];
  /**
   * Says that this process could begin, and waits until the other has let go of everything. Answers whom it cut off. A predecessor that dies meanwhile has let go as well. Errors: failedPrecondition where a service manager looks after
   * it, and starts another daemon in its place.
   */
  prepared(isManaged: boolean): Promise<HeardBefore>;
  /** Says that this process serves, and waits until it is the service. Errors: as prepared. */
  serves(isManaged: boolean): Promise<void>;
  /** Says why this process ends. */
  failed(error: unknown): void;
}

/** The predecessor that the environment names, whose variable is taken out of it. Errors: invalidArgument. */
export function predecessorOf(
  env: Record<string, string | undefined>,
  kernel: Kernel,
  log: Logger,
): Predecessor | undefined {
  const text = env[handoverVariable];
  delete env[handoverVariable];
  if (text === undefined) return undefined;
  const { protocol, channel: fd, program, pid, sockets } = JSON.parse(text) as Handover;
  if (protocol !== 1)
    throw new FaultError(
      "invalidArgument",
      `a daemon of another version hands over in a way (${protocol}) that is not known`,
    );
  // Copied, since what was inherited does not close on exec.
  const channel = new HandoverChannel(kernel, kernel.duplicate(fd), log);
  kernel.close(fd);
  const gone = `the daemon with pid ${pid} is gone before it handed over; its service manager starts another one`;
  return {
    program,
    pid,
    sockets,
    prepared: async (isManaged) => {
      channel.send({ type: "prepared" });
      const message = await channel.next();
      if (message?.type === "go") return { subscribers: message.subscribers, passedOn: message.passedOn };
      if (isManaged) throw new FaultError("failedPrecondition", gone);
      log.warn("the daemon that was to hand over is gone; going on without", { pid });
      return { subscribers: 0 };
    },
    serves: async (isManaged) => {
      channel.send({ type: "ready" });
      if (!isManaged) return;
      if ((await channel.next())?.type !== "main") throw new FaultError("failedPrecondition", gone);
    },
    failed: (error) => channel.send({ type: "failed", reason: messageOf(error).slice(0, reasonMaxLength) }),
    [Symbol.dispose]: () => channel[Symbol.dispose](),
  };
}
