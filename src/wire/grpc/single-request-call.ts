import { FaultError } from "../../lib/faults.ts";
import { gunzipMessage } from "./gzip.ts";
import { MessageReader, prefixSize } from "./message-reader.ts";
import { ServerCall } from "./server-call.ts";

/** Copying more than this costs more than the memory is worth. */
const copiedBytes = 4096;
const noBytes = new Uint8Array();

/** A call whose caller sends one message and is done: unary, or a stream of answers. */
export class SingleRequestCall extends ServerCall {
  #reader: MessageReader | undefined;
  #payload: Buffer | undefined;
  /** Whether what comes after the message is of no interest. */
  #ignoring = false;

  protected get receivesOne(): boolean {
    return true;
  }

  protected get waitsForClient(): boolean {
    return false;
  }

  onData(bytes: Buffer, end: boolean): boolean {
    if (this.done) return true;
    const fits = bytes.length - prefixSize <= this.shared.maxReceiveBytes;
    if (end && fits && this.#reader === undefined && isWholeMessage(bytes)) return this.#startWith(bytes);
    this.#reader ??= new MessageReader(this.shared.maxReceiveBytes);
    if (!this.#ignoring) this.#reader.push(bytes);
    // All of it belongs to one message of bounded size, so the caller may go on.
    if (!end) this.stream.credit(bytes.length);
    this.#collect(this.#reader, end);
    return true;
  }

  /** Starts with a message as it came. A small one is copied, so that what it came in may be used again. */
  #startWith(bytes: Buffer): boolean {
    const copied = bytes.length <= copiedBytes;
    this.#start(copied ? copyOf(bytes) : bytes.subarray(prefixSize));
    return copied;
  }

  onTrailers(): void {
    if (this.done) return;
    this.#reader ??= new MessageReader(this.shared.maxReceiveBytes);
    this.#collect(this.#reader, true);
  }

  #collect(reader: MessageReader, end: boolean): void {
    try {
      this.#payload ??= reader.next();
      if (this.#payload !== undefined && reader.partial) this.#tooMuch();
      if (!end) return;
      if (this.#payload === undefined) throw this.#tooLittle(reader.partial);
      if (reader.compressed) void this.#unpack(this.#payload);
      else this.#start(this.#payload);
    } catch (error) {
      this.fail(error);
    }
  }

  /** As grpc-go: whoever asks for a stream of answers may send one message only, others may and it is not looked at. */
  #tooMuch(): void {
    if (this.route.method.methodKind !== "unary") {
      const problem = "received multiple request messages for non-client-streaming RPC";
      throw new FaultError("internal", `cardinality violation: ${problem}`);
    }
    this.#ignoring = true;
  }

  /** Source: grpc-go server.go, processUnaryRPC; stream.go, serverStream.RecvMsg. */
  #tooLittle(partial: boolean): FaultError {
    const unary = this.route.method.methodKind === "unary";
    if (partial) return new FaultError(unary ? "unknown" : "internal", "unexpected EOF");
    if (unary) return new FaultError("unknown", "EOF");
    const problem = "received no request message from non-client-streaming RPC";
    return new FaultError("internal", `cardinality violation: ${problem}`);
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

/** The payload in memory of its own. */
function copyOf(bytes: Buffer): Uint8Array {
  if (bytes.length === prefixSize) return noBytes;
  const payload = Buffer.allocUnsafe(bytes.length - prefixSize);
  bytes.copy(payload, 0, prefixSize);
  return payload;
}

/** The usual case: nothing but one message, not compressed. */
function isWholeMessage(bytes: Buffer): boolean {
  return bytes.length >= prefixSize && bytes[0] === 0 && bytes.readUInt32BE(1) === bytes.length - prefixSize;
}
