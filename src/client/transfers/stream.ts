import { messageOf, unavailable } from "../../lib/faults.ts";
import type { Client } from "../client.ts";
import { randomHex } from "../names.ts";
import { decodeMessage, encodeMessage, type Message } from "../transport/codec.ts";

/** A message with its type's name. */
export interface TypedMessage {
  readonly typeUrl: string;
  readonly value: Uint8Array;
}

/** A stream that is open at the daemon, for another call to name. Disposing it ends it. */
export interface OpenStream extends Disposable {
  readonly id: string;
  send(message: TypedMessage): void;
  /** Says that no more is sent; what the daemon sends still comes. */
  endSending(): void;
  /** What the daemon sends, until it ends the stream. */
  messages(): AsyncIterable<TypedMessage>;
}

const initType = "containerd.services.streaming.v1.StreamInit";

/** Opens a stream. Errors: what the daemon says; unavailable when it ends the stream at once. */
export async function openStream(client: Client, prefix: string): Promise<OpenStream> {
  const id = `${prefix}-${randomHex(24)}`;
  const outbox: TypedMessage[] = [typed(initType, { id })];
  const abort = new AbortController();
  let wake: (() => void) | undefined;
  let sent = false;
  async function* requests(): AsyncGenerator<TypedMessage> {
    while (!abort.signal.aborted) {
      const next = outbox.shift();
      if (next !== undefined) yield next;
      else if (sent) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  const answers = client.streaming.stream(requests(), { signal: abort.signal })[Symbol.asyncIterator]();
  const end = (): void => {
    abort.abort();
    wake?.();
  };
  const first = await answers.next();
  if (first.done === true) throw unavailable("the daemon ended the stream");
  return {
    id,
    send: (message) => {
      outbox.push(message);
      wake?.();
    },
    endSending: () => {
      sent = true;
      wake?.();
    },
    messages: () => untilEnd(answers, abort.signal),
    [Symbol.dispose]: end,
  };
}

async function* untilEnd(answers: AsyncIterator<TypedMessage>, signal: AbortSignal): AsyncGenerator<TypedMessage> {
  for (;;) {
    const next = await answers.next().catch((error: unknown) => {
      // We ended it ourselves.
      if (signal.aborted) return undefined;
      throw unavailable(`stream: ${messageOf(error)}`, { cause: error });
    });
    if (next === undefined || next.done === true) return;
    yield next.value;
  }
}

/** Packs a message into an Any as Go's typeurl names it. */
export function typed(typeUrl: string, value: object): TypedMessage {
  return { typeUrl, value: encodeMessage(typeUrl, value) };
}

/** Unpacks an Any; undefined when it is of another type. */
export function untyped(message: TypedMessage, type: string): Message | undefined {
  return message.typeUrl.slice(message.typeUrl.lastIndexOf("/") + 1) === type
    ? decodeMessage(type, message.value)
    : undefined;
}
