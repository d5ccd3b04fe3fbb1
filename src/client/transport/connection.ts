import type { DescService } from "@bufbuild/protobuf";
import { type FaultError, fault, messageOf } from "../../lib/faults.ts";
import { CallTimer } from "../../wire/call-timer.ts";
import { faultOf } from "../../wire/codes.ts";
import { formatTimeout } from "../../wire/grpc-timeouts.ts";
import type { CallOptions, ServiceClient } from "../../wire/service.ts";
import { decodeMessage, encodeMessage, type Message } from "./codec.ts";
import { ClientSession, type Stream } from "./session.ts";
import { serviceTable } from "./tables.ts";

/** A connection to a daemon. Calls may be made at once; they wait for the connection by themselves. */
export interface Connection extends Disposable {
  /** A service by its full name. Shape: typed as @bufbuild/protobuf's descriptor `S` has it. */
  service<S extends DescService>(name: S["typeName"], defaults?: CallOptions): ServiceClient<S>;
  /** Settles when the connection is gone, with the reason where there was one. Never rejects. */
  readonly closed: Promise<Error | undefined>;
}

/** The longest message that is accepted. Source: containerd's default limit is 16 MiB. */
const maxMessageBytes = 64 * 1024 * 1024;

interface Method {
  readonly path: string;
  readonly kind: string;
  readonly input: string;
  readonly output: string;
}

/** Connects to a daemon's unix socket. Errors: unavailable, from the first call, when nobody answers there. */
export function connectUnix(path: string): Connection {
  const session = new ClientSession(path);
  return {
    service: <S extends DescService>(name: string, defaults: CallOptions = {}) => {
      const client: Record<string, unknown> = {};
      for (const [localName, text] of Object.entries(serviceTable[name] ?? {})) {
        const [method = "", kind = "u", input = "", output = ""] = text.split(" ");
        client[localName] = callOf(session, { path: `/${name}/${method}`, kind, input, output }, defaults);
      }
      return client as ServiceClient<S>;
    },
    closed: session.closed,
    [Symbol.dispose]: () => session.close(),
  };
}

function callOf(session: ClientSession, method: Method, defaults: CallOptions): unknown {
  switch (method.kind) {
    case "u":
      return (request: Message, options?: CallOptions) =>
        callUnary(session, method, request, { ...defaults, ...options });
    case "s":
      return (request: Message, options?: CallOptions) => {
        const call = new Call(session, method, { ...defaults, ...options });
        call.send(request, true);
        return call.messages();
      };
    default:
      return (requests: AsyncIterable<Message>, options?: CallOptions) => {
        const call = new Call(session, method, { ...defaults, ...options });
        void call.sendAll(requests);
        return call.messages();
      };
  }
}

async function callUnary(
  session: ClientSession,
  method: Method,
  request: Message,
  options: CallOptions,
): Promise<Message> {
  const call = new Call(session, method, options);
  call.send(request, true);
  let answer: Message | undefined;
  for await (const message of call.messages()) answer = message;
  if (answer === undefined) throw fault("internal", `${method.path}: no answer in the response`);
  return answer;
}

function headersOf(method: Method, options: CallOptions): string[] {
  const fields = [":method", "POST", ":scheme", "http", ":path", method.path, ":authority", "localhost"];
  fields.push("content-type", "application/grpc", "te", "trailers", "user-agent", "lighter");
  if (options.namespace !== undefined) fields.push("containerd-namespace", options.namespace);
  if (options.lease !== undefined) fields.push("containerd-lease", options.lease);
  if (options.timeoutMs !== undefined) fields.push("grpc-timeout", formatTimeout(options.timeoutMs));
  for (const [name, value] of options.metadata ?? []) fields.push(name.toLowerCase(), value);
  return fields;
}

/** One call in flight: messages out under flow control, messages in as they are asked for. */
class Call {
  readonly #method: Method;
  readonly #stream: Stream;
  readonly #cleanups: (() => void)[] = [];
  #inbox: Buffer[] = [];
  #inboxBytes = 0;
  #trailers = new Map<string, string>();
  #ended = false;
  #failure: FaultError | undefined;
  #outbox: Buffer | undefined;
  #closeAfterOutbox = false;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  constructor(session: ClientSession, method: Method, options: CallOptions) {
    this.#method = method;
    this.#stream = session.open(headersOf(method, options), {
      headers: (fields) => {
        for (let i = 0; i + 1 < fields.length; i += 2) this.#trailers.set(fields[i] ?? "", fields[i + 1] ?? "");
      },
      data: (bytes) => {
        this.#inbox.push(Buffer.from(bytes));
        this.#inboxBytes += bytes.length;
        this.#wake();
      },
      end: (reset) => this.#finish(reset === undefined ? undefined : resetFault(reset)),
      lost: (error) => this.#finish(error),
      writable: () => this.#flush(),
    });
    this.#watch(options);
  }

  /** The next messages as they come. Leaving early cancels the call. Errors: the status that the daemon answered. */
  async *messages(): AsyncGenerator<Message> {
    try {
      for (;;) {
        const message = this.#take();
        if (message !== undefined) yield message;
        else if (this.#ended) break;
        else await new Promise<void>((resolve) => (this.#wakeReader = resolve));
      }
      const error = this.#failure ?? this.#statusFault();
      if (error !== undefined) throw error;
    } finally {
      if (!this.#ended) this.#stream.cancel();
      this.#release();
    }
  }

  send(message: Message, end: boolean): void {
    const body = encodeMessage(this.#method.input, message);
    const bytes = Buffer.allocUnsafe(5 + body.length);
    bytes[0] = 0;
    bytes.writeUInt32BE(body.length, 1);
    bytes.set(body, 5);
    this.#outbox = this.#outbox === undefined ? bytes : Buffer.concat([this.#outbox, bytes]);
    this.#closeAfterOutbox = end;
    this.#flush();
  }

  /** Sends what an iterable gives, one message in flight, until it ends or the call does. */
  async sendAll(requests: AsyncIterable<Message>): Promise<void> {
    try {
      for await (const request of requests) {
        if (this.#ended) return;
        this.send(request, false);
        if (this.#outbox !== undefined) await new Promise<void>((resolve) => (this.#wakeWriter = resolve));
      }
      if (this.#ended) return;
      this.#outbox ??= Buffer.alloc(0);
      this.#closeAfterOutbox = true;
      this.#flush();
    } catch (error) {
      this.#stream.cancel();
      this.#finish(fault("canceled", messageOf(error), { cause: error }));
    }
  }

  #flush(): void {
    if (this.#outbox === undefined || this.#ended) return;
    const written = this.#stream.write(this.#outbox, this.#closeAfterOutbox);
    if (written < this.#outbox.length) {
      this.#outbox = this.#outbox.subarray(written);
      return;
    }
    this.#outbox = undefined;
    this.#wakeWriter?.();
  }

  #take(): Message | undefined {
    if (this.#inboxBytes < 5) return undefined;
    const head = this.#peek(5);
    const length = head.readUInt32BE(1);
    if (length > maxMessageBytes) {
      this.#abort(fault("resourceExhausted", `${this.#method.path}: message of ${length} bytes`));
      return undefined;
    }
    if (this.#inboxBytes < 5 + length) {
      // A message larger than the window would otherwise wait for itself.
      this.#stream.consumed(this.#uncounted());
      return undefined;
    }
    const all = this.#peek(5 + length);
    this.#stream.consumed(this.#uncounted());
    this.#counted -= 5 + length;
    const rest = all.subarray(5 + length);
    this.#inbox = rest.length === 0 ? [] : [rest];
    this.#inboxBytes = rest.length;
    if (head[0] !== 0) {
      this.#abort(fault("internal", `${this.#method.path}: compressed answers are not supported`));
      return undefined;
    }
    return decodeMessage(this.#method.output, all.subarray(5, 5 + length));
  }

  /** Bytes of the inbox whose room was already given back. */
  #counted = 0;

  #uncounted(): number {
    const count = this.#inboxBytes - this.#counted;
    this.#counted = this.#inboxBytes;
    return count;
  }

  /** The inbox as one buffer when its first one is too short. */
  #peek(count: number): Buffer {
    const first = this.#inbox[0];
    if (first !== undefined && first.length >= count && this.#inbox.length === 1) return first;
    const all = Buffer.concat(this.#inbox);
    this.#inbox = [all];
    return all;
  }

  #statusFault(): FaultError | undefined {
    const status = this.#trailers.get("grpc-status");
    if (status === "0") return undefined;
    if (status === undefined) {
      return fault(
        "internal",
        `${this.#method.path}: answer without grpc-status (http ${this.#trailers.get(":status") ?? "?"})`,
      );
    }
    return faultOf(Number(status), percentDecoded(this.#trailers.get("grpc-message") ?? ""));
  }

  #watch(options: CallOptions): void {
    const { signal, timeoutMs } = options;
    if (signal !== undefined) {
      const onAbort = (): void => this.#abort(fault("canceled", "", { cause: signal.reason }));
      if (signal.aborted) onAbort();
      else signal.addEventListener("abort", onAbort, { once: true });
      this.#cleanups.push(() => signal.removeEventListener("abort", onAbort));
    }
    if (timeoutMs !== undefined) {
      const timer = new CallTimer(timeoutMs, () => this.#abort(fault("deadlineExceeded", this.#method.path)));
      this.#cleanups.push(() => timer[Symbol.dispose]());
    }
  }

  #abort(error: FaultError): void {
    this.#stream.cancel();
    this.#finish(error);
  }

  #finish(failure: FaultError | undefined): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#failure = failure;
    this.#wakeWriter?.();
    this.#wake();
    this.#release();
  }

  #release(): void {
    for (const cleanup of this.#cleanups.splice(0)) cleanup();
  }

  #wake(): void {
    const wake = this.#wakeReader;
    this.#wakeReader = undefined;
    wake?.();
  }
}

/** What an RST_STREAM means to a caller. Source: gRPC over HTTP/2, "HTTP2 Transport Mapping". */
function resetFault(code: number): FaultError {
  if (code === 8) return fault("canceled", "");
  if (code === 7) return fault("unavailable", "stream refused by the daemon");
  if (code === 11) return fault("resourceExhausted", "daemon is overloaded");
  return fault("internal", `stream reset by the daemon: http2 error ${code}`);
}

function percentDecoded(text: string): string {
  if (!text.includes("%")) return text;
  try {
    return decodeURIComponent(text);
  } catch {
    // A message that is not well encoded is still worth showing.
    return text;
  }
}
