import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { StreamInitSchema, type Streaming } from "../../src/gen/containerd/services/streaming/v1/streaming_pb.ts";
import type { Transfer } from "../../src/gen/containerd/services/transfer/v1/transfer_pb.ts";
import { type Progress, ProgressSchema } from "../../src/gen/containerd/types/transfer/progress_pb.ts";
import { DataSchema, WindowUpdateSchema } from "../../src/gen/containerd/types/transfer/streaming_pb.ts";
import { unavailable } from "../../src/lib/faults.ts";
import { anyIs, anyOf, anyTo } from "../../src/wire/any.ts";
import type { CallOptions, ServiceClient } from "../../src/wire/service.ts";

/** The two services that a transfer takes. */
export interface TransferApi {
  readonly streaming: ServiceClient<typeof Streaming>;
  readonly transfer: ServiceClient<typeof Transfer>;
}

/** A stream that is open at the daemon, for another call to name. */
export interface OpenStream {
  readonly id: string;
  /** Settles when the message is handed on. */
  send(message: Any): Promise<void>;
  /** The next message; undefined when the daemon ended it. */
  receive(): Promise<Any | undefined>;
  /** Says that no more is sent. */
  end(): void;
}

/** The most that is sent at once, and what the daemon is granted ahead. */
const pieceBytes = 256 * 1024;
const windowBytes = 1 << 20;

/** Opens a stream. Errors: what the daemon says. Effects: it is open until the daemon or the signal ends it. */
export async function openStream(
  streaming: ServiceClient<typeof Streaming>,
  prefix: string,
  options: CallOptions = {},
): Promise<OpenStream> {
  const id = `${prefix}-${crypto.randomUUID()}`;
  const outgoing: { readonly message: Any; readonly taken: () => void }[] = [];
  let wake: (() => void) | undefined;
  let ended = false;
  async function* requests(): AsyncGenerator<Any> {
    yield anyOf(StreamInitSchema, create(StreamInitSchema, { id }));
    for (;;) {
      const next = outgoing.shift();
      if (next !== undefined) {
        try {
          yield next.message;
        } finally {
          // Also when the call ends with the message in its hands.
          next.taken();
        }
      } else if (ended) return;
      else
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
    }
  }
  const answers = streaming.stream(requests(), options)[Symbol.asyncIterator]();
  const end = (): void => {
    ended = true;
    wake?.();
    for (const { taken } of outgoing.splice(0)) taken();
  };
  const first = await answers.next();
  if (first.done === true) throw unavailable("the daemon ended the stream");
  return {
    id,
    end,
    send: (message) => {
      if (ended) return Promise.resolve();
      const { promise, resolve } = Promise.withResolvers<void>();
      outgoing.push({ message, taken: resolve });
      wake?.();
      return promise;
    },
    receive: async () => {
      const next = await answers.next().catch((error: unknown) => {
        end();
        throw error;
      });
      if (next.done !== true) return next.value;
      end();
      return undefined;
    },
  };
}

/** Sends bytes, no further than the daemon makes room. Errors: what the source says; the stream ends all the same. */
export async function sendBytes(stream: OpenStream, source: AsyncIterable<Uint8Array>): Promise<void> {
  let [room, gone] = [0, false];
  let wake: (() => void) | undefined;
  const watch = async (): Promise<void> => {
    for (let message = await stream.receive(); message !== undefined; message = await stream.receive()) {
      if (anyIs(message, WindowUpdateSchema)) room += Math.max(0, anyTo(message, WindowUpdateSchema).update);
      wake?.();
    }
  };
  const leave = (): void => {
    gone = true;
    wake?.();
  };
  // The call that uses the stream tells what went wrong with it.
  watch().then(leave, leave);
  try {
    for await (const bytes of source) {
      for (let at = 0; at < bytes.length && !gone; ) {
        if (room === 0) {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
          continue;
        }
        const data = bytes.subarray(at, at + Math.min(room, pieceBytes));
        room -= data.length;
        at += data.length;
        const value = toBinary(DataSchema, create(DataSchema, { data }));
        await stream.send(create(AnySchema, { typeUrl: DataSchema.typeName, value }));
      }
      if (gone) return;
    }
  } finally {
    stream.end();
  }
}

/** The bytes that the daemon sends. Errors: what ended the stream before its end. */
export async function* receiveBytes(stream: OpenStream): AsyncGenerator<Uint8Array> {
  let window = 0;
  try {
    for (;;) {
      if (window <= windowBytes / 2) {
        const update = windowBytes - window;
        window += update;
        await stream.send(anyOf(WindowUpdateSchema, create(WindowUpdateSchema, { update })));
      }
      const message = await stream.receive();
      if (message === undefined) return;
      if (!anyIs(message, DataSchema)) continue;
      const { data } = anyTo(message, DataSchema);
      window -= data.length;
      yield data;
    }
  } finally {
    stream.end();
  }
}

export interface TransferOptions extends CallOptions {
  /** Told of each step, in order; all are told before the transfer answers. */
  readonly onProgress?: ((progress: Progress) => void) | undefined;
}

/** Has the daemon transfer something. Errors: what the daemon says. */
export async function transfer(
  api: TransferApi,
  source: Any,
  destination: Any,
  options: TransferOptions = {},
): Promise<void> {
  const { onProgress, ...call } = options;
  if (onProgress === undefined) {
    await api.transfer.transfer({ source, destination }, call);
    return;
  }
  const stream = await openStream(api.streaming, "progress", call);
  const listening = (async (): Promise<void> => {
    for (let message = await stream.receive(); message !== undefined; message = await stream.receive()) {
      if (anyIs(message, ProgressSchema)) onProgress(anyTo(message, ProgressSchema));
    }
  })();
  // The transfer itself tells what went wrong.
  listening.catch(() => {});
  try {
    await api.transfer.transfer({ source, destination, options: { progressStream: stream.id } }, call);
    await listening;
  } finally {
    stream.end();
  }
}
