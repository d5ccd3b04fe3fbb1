import {
  type Connection,
  errorCode,
  headerValue,
  type Stream,
  type StreamHandler,
} from "../../src/wire/http2/index.ts";

/** One call as it goes over the wire: nothing is checked, so that bad ones can be made too. */
export interface WireCall {
  readonly path: string;
  /** Names and values by turns, after those that every call has; a name may come twice. */
  readonly fields: readonly string[];
  readonly messages: readonly Uint8Array[];
  /** The caller goes away once it has so many answers, or after so long. */
  readonly leave?: { readonly afterAnswers?: number; readonly afterMs?: number } | undefined;
}

/** How a call ended: the server's status, its reset, or neither. */
export interface WireAnswer {
  readonly messages: readonly Uint8Array[];
  readonly end:
    | { readonly kind: "status"; readonly code: number; readonly text: string; readonly details: string }
    | { readonly kind: "broken"; readonly reason: string };
}

const contentType = "application/grpc";
const patienceMs = 15_000;

/** Makes the call and waits for its end. */
export function callOverWire(connection: Connection, call: WireCall): Promise<WireAnswer> {
  const ended = Promise.withResolvers<WireAnswer>();
  const exchange = new Exchange(call, ended.resolve);
  const given = call.fields.includes("content-type") ? [] : ["content-type", contentType];
  const fields = [":method", "POST", ":scheme", "http", ":path", call.path, ":authority", "localhost"];
  const stream = connection.open([...fields, "te", "trailers", ...given, ...call.fields], exchange);
  exchange.stream = stream;
  for (const message of call.messages) stream.sendMessage(message);
  stream.end();
  return ended.promise;
}

class Exchange implements StreamHandler {
  stream: Stream | undefined;
  readonly #leave: WireCall["leave"];
  readonly #done: (answer: WireAnswer) => void;
  readonly #messages: Uint8Array[] = [];
  readonly #timers: ReturnType<typeof setTimeout>[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #over = false;

  constructor(call: WireCall, done: (answer: WireAnswer) => void) {
    this.#leave = call.leave;
    this.#done = done;
    this.#timers.push(setTimeout(() => this.#break("no end after 15 s"), patienceMs));
    if (call.leave?.afterMs !== undefined) {
      this.#timers.push(setTimeout(() => this.#break("the caller left"), call.leave.afterMs));
    }
  }

  onHeaders(): void {}

  onData(bytes: Buffer, end: boolean): boolean {
    this.stream?.credit(bytes.length);
    this.#bytes = Buffer.concat([this.#bytes, bytes]);
    while (this.#bytes.length >= 5 && this.#bytes.length >= 5 + this.#bytes.readUInt32BE(1)) {
      const length = this.#bytes.readUInt32BE(1);
      this.#messages.push(new Uint8Array(this.#bytes.subarray(5, 5 + length)));
      this.#bytes = this.#bytes.subarray(5 + length);
      // Others may have come with it: how many is the network's doing.
      if (this.#messages.length === this.#leave?.afterAnswers) this.#break("the caller left");
      if (this.#over) return true;
    }
    if (end) this.#break("no trailers");
    return true;
  }

  onTrailers({ fields }: { readonly fields: readonly string[] }): void {
    const code = headerValue(fields, "grpc-status");
    if (code === undefined) {
      this.#break(`no status, HTTP status ${headerValue(fields, ":status") ?? "none"}`);
      return;
    }
    const text = percentDecoded(headerValue(fields, "grpc-message") ?? "");
    const details = headerValue(fields, "grpc-status-details-bin") ?? "";
    this.#end({ kind: "status", code: Number(code), text, details });
  }

  onReset(code: number, message: string): void {
    this.#end({ kind: "broken", reason: `${message} (${code})` });
  }

  onWritable(): void {}

  #break(reason: string): void {
    if (this.#over) return;
    this.stream?.reset(errorCode.cancel);
    this.#end({ kind: "broken", reason });
  }

  #end(end: WireAnswer["end"]): void {
    if (this.#over) return;
    this.#over = true;
    for (const timer of this.#timers) clearTimeout(timer);
    this.#done({ messages: this.#messages, end });
  }
}

function percentDecoded(text: string): string {
  const bytes = text.replace(/%([0-9a-f]{2})/gi, (_all, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(bytes, "latin1").toString("utf8");
}
