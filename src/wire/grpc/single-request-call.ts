import { FaultError } from "../../lib/faults.ts";
import { gunzipMessage } from "./gzip.ts";
import { MessageReader, prefixSize } from "./message-reader.ts";
import { ServerCall } from "./server-call.ts";

/** A call whose caller sends one message and is done: unary, or a stream of answers. */
export class SingleRequestCall extends ServerCall {
  #reader: MessageReader | undefined;
  #payload: Buffer | undefined;

  onData(bytes: Buffer, end: boolean): boolean {
    if (this.done) return true;
    if (end && this.#reader === undefined && isWholeMessage(bytes)) {
      this.#start(bytes.subarray(prefixSize));
      return false;
    }
    this.#reader ??= new MessageReader(this.shared.maxReceiveBytes);
    this.#reader.push(bytes);
    // All of it belongs to one message of bounded size, so the caller may go on.
    if (!end) this.stream.credit(bytes.length);
    this.#collect(this.#reader, end);
    return true;
  }

  onTrailers(): void {
    if (this.done) return;
    this.#reader ??= new MessageReader(this.shared.maxReceiveBytes);
    this.#collect(this.#reader, true);
  }

  #collect(reader: MessageReader, end: boolean): void {
    try {
      this.#payload ??= reader.next();
      if (reader.partial && (end || this.#payload !== undefined)) {
        throw new FaultError("internal", "grpc: the request is not one whole message");
      }
      if (!end) return;
      if (this.#payload === undefined) throw new FaultError("internal", "grpc: the request has no message");
      if (reader.compressed) void this.#unpack(this.#payload);
      else this.#start(this.#payload);
    } catch (error) {
      this.fail(error);
    }
  }

  async #unpack(payload: Uint8Array): Promise<void> {
    try {
      this.#start(await gunzipMessage(payload, this.shared.maxReceiveBytes));
    } catch (error) {
      this.fail(error);
    }
  }

  #start(payload: Uint8Array): void {
    let input: unknown;
    try {
      input = this.decode(payload);
    } catch (error) {
      this.fail(error);
      return;
    }
    this.run(input);
  }
}

/** The usual case: nothing but one message, not compressed. */
function isWholeMessage(bytes: Buffer): boolean {
  return bytes.length >= prefixSize && bytes[0] === 0 && bytes.readUInt32BE(1) === bytes.length - prefixSize;
}
