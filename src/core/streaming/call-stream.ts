import type { Any } from "@bufbuild/protobuf/wkt";
import { abortFault, type Ctx } from "../../lib/ctx.ts";
import { unavailable } from "../../lib/faults.ts";
import type { Stream } from "./streams.ts";

interface Outgoing {
  readonly message: Any;
  readonly taken: PromiseWithResolvers<void>;
}

/** One call of the streaming service seen from its other side: whoever fetched the stream by its name. */
export class CallStream implements Stream {
  readonly #ctx: Ctx;
  readonly #requests: AsyncIterator<Any>;
  readonly #outgoing: Outgoing[] = [];
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(ctx: Ctx, requests: AsyncIterator<Any>) {
    this.#ctx = ctx;
    this.#requests = requests;
  }

  send(message: Any): Promise<void> {
    if (this.#ctx.signal.aborted) return Promise.reject(abortFault(this.#ctx.signal));
    if (this.#closed) return Promise.reject(unavailable("stream is closed"));
    const taken = Promise.withResolvers<void>();
    this.#outgoing.push({ message, taken });
    this.#wake?.();
    return taken.promise;
  }

  async receive(): Promise<Any | undefined> {
    if (this.#closed) return undefined;
    const next = await this.#requests.next();
    return next.done === true ? undefined : next.value;
  }

  close(): void {
    this.#closed = true;
    this.#wake?.();
  }

  /** What was sent, until it is closed or the client is gone. */
  async *messages(): AsyncGenerator<Any> {
    const wake = (): void => this.#wake?.();
    this.#ctx.signal.addEventListener("abort", wake);
    try {
      while (!this.#ctx.signal.aborted) {
        const [next] = this.#outgoing;
        if (next !== undefined) {
          yield next.message;
          // Not before: a reader that leaves with it in its hands never asks for the next.
          this.#outgoing.shift();
          next.taken.resolve();
        } else if (this.#closed) return;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
        }
      }
    } finally {
      this.#ctx.signal.removeEventListener("abort", wake);
      this.#closed = true;
      const gone = this.#ctx.signal.aborted ? abortFault(this.#ctx.signal) : unavailable("stream is closed");
      for (const { taken } of this.#outgoing.splice(0)) taken.reject(gone);
    }
  }
}
