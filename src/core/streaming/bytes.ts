import { create, toBinary } from "@bufbuild/protobuf";
import { type Any, AnySchema } from "@bufbuild/protobuf/wkt";
import { DataSchema, WindowUpdateSchema } from "../../gen/containerd/types/transfer/streaming_pb.ts";
import { unavailable } from "../../lib/faults.ts";
import { anyIs, anyOf, anyTo } from "../../wire/any.ts";
import type { Stream } from "./streams.ts";

/** How much a sender may be ahead of us. containerd grants 64 KiB, which costs a round trip for each of its pieces. */
const windowBytes = 1 << 20;
/** The largest piece that is sent. */
const pieceBytes = 256 * 1024;

/** Takes bytes that go to a client. */
export interface ByteSink {
  /** Takes bytes that are only lent until it settles: when the connection took them, no sooner than the client made room. */
  write(bytes: Uint8Array): Promise<void>;
  /** Ends it: the client has everything. */
  close(): void;
}

/**
 * The bytes that a client sends, at the reader's pace; each piece is the reader's only until the next.
 * Effects: closes the stream at the end, however it comes.
 * Source: containerd core/transfer/streaming/stream.go, ReceiveStream.
 */
export async function* receiveBytes(stream: Stream): AsyncGenerator<Uint8Array> {
  let window = 0;
  try {
    for (;;) {
      if (window <= windowBytes / 2) {
        const update = windowBytes - window;
        window += update;
        // A client that has sent everything may be gone already: what it sent counts, and receive tells of the rest.
        stream.send(anyOf(WindowUpdateSchema, create(WindowUpdateSchema, { update }))).catch(() => {});
      }
      const message = await stream.receive();
      if (message === undefined) return;
      if (!anyIs(message, DataSchema)) continue;
      const { data } = anyTo(message, DataSchema);
      window -= data.length;
      if (data.length > 0) yield data;
    }
  } finally {
    stream.close();
  }
}

/** Sends bytes to a client, as fast as it makes room. Source: containerd core/transfer/streaming/writer.go. */
export function sendBytes(stream: Stream): ByteSink {
  let room = 0;
  let failure: unknown;
  let ended = false;
  let wake: (() => void) | undefined;
  const watch = async (): Promise<void> => {
    for (;;) {
      const message = await stream.receive();
      if (message === undefined) return;
      if (anyIs(message, WindowUpdateSchema)) room += Math.max(0, anyTo(message, WindowUpdateSchema).update);
      wake?.();
    }
  };
  watch()
    .catch((error: unknown) => {
      failure = error;
    })
    .finally(() => {
      ended = true;
      wake?.();
    });
  const waitForRoom = async (): Promise<void> => {
    while (room === 0) {
      if (failure !== undefined) throw failure;
      if (ended) throw unavailable("the stream's reader went away");
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
  return {
    write: async (bytes) => {
      for (let at = 0; at < bytes.length; ) {
        await waitForRoom();
        const piece = bytes.subarray(at, at + Math.min(pieceBytes, room));
        room -= piece.length;
        at += piece.length;
        await stream.send(dataMessage(piece));
      }
    },
    close: () => stream.close(),
  };
}

/** A Data message in its envelope. */
function dataMessage(data: Uint8Array): Any {
  return create(AnySchema, {
    typeUrl: DataSchema.typeName,
    value: toBinary(DataSchema, create(DataSchema, { data })),
  });
}
