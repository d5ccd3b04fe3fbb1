import type { FaultError } from "../../lib/faults.ts";
import type { Stream } from "../http2/index.ts";
import { MessageStream } from "./message-stream.ts";
import type { RequestHead, Route } from "./routes.ts";
import { type CallShared, ServerCall } from "./server-call.ts";

/** A call whose caller sends a stream of messages; the implementation runs from the first headers on. */
export class StreamRequestCall extends ServerCall {
  readonly #requests: MessageStream<unknown>;

  constructor(stream: Stream, shared: CallShared, head: RequestHead, route: Route) {
    super(stream, shared, head, route);
    this.#requests = new MessageStream({
      maxBytes: shared.maxReceiveBytes,
      decode: (payload) => {
        this.received();
        return this.decode(payload);
      },
      credit: (bytes) => stream.credit(bytes),
      left: () => {},
      lends: route.borrows,
    });
  }

  protected get receivesOne(): boolean {
    return false;
  }

  protected get waitsForClient(): boolean {
    return this.#requests.waited;
  }

  /** Calls the implementation; `end` when no message will come. */
  start(end: boolean): void {
    if (end) this.#requests.close();
    this.run(this.#requests);
  }

  onData(bytes: Buffer, end: boolean): boolean {
    this.#requests.push(bytes);
    if (end) this.#requests.close();
    return true;
  }

  onTrailers(): void {
    this.#requests.close();
  }

  protected override cancel(reason: FaultError): void {
    this.#requests.close(reason);
    super.cancel(reason);
  }
}
