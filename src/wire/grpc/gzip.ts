import { FaultError, messageOf } from "../../lib/faults.ts";
import { tooLarge } from "./message-reader.ts";

/** A message with its prefix, packed off the loop's thread. Source: gRPC over HTTP/2, Length-Prefixed-Message. */
export async function gzipMessage(bytes: Uint8Array): Promise<Buffer> {
  const { gzip } = await import("node:zlib");
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  gzip(bytes, (error, packed) => (error === null ? resolve(packed) : reject(error)));
  const packed = await promise;
  const message = Buffer.allocUnsafe(5 + packed.length);
  message[0] = 1;
  message.writeUInt32BE(packed.length, 1);
  message.set(packed, 5);
  return message;
}

/**
 * Unpacks a gzip message off the loop's thread.
 * Errors: resourceExhausted (unpacked it is larger than allowed), internal (not gzip).
 */
export async function gunzipMessage(bytes: Uint8Array, maxBytes: number): Promise<Buffer> {
  // Loaded on first use: hardly any client compresses on a local socket.
  const { gunzip } = await import("node:zlib");
  const { promise, resolve, reject } = Promise.withResolvers<Buffer>();
  gunzip(bytes, { maxOutputLength: maxBytes }, (error, unpacked) => {
    if (error === null) resolve(unpacked);
    else if ("code" in error && error.code === "ERR_BUFFER_TOO_LARGE") reject(tooLarge(maxBytes + 1, maxBytes));
    else reject(new FaultError("internal", `grpc: failed to decompress the received message: ${messageOf(error)}`));
  });
  return promise;
}
