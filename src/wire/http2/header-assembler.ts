import { type HeaderBlock, HeaderBlockReader } from "./header-block.ts";
import { ConnectionError, errorCode, flag, protocolDefaults } from "./protocol.ts";

interface HeaderRun {
  readonly streamId: number;
  readonly endStream: boolean;
  readonly selfDependent: boolean;
  readonly parts: Buffer[];
  size: number;
}

/** Takes whole blocks; undefined stands for one that is larger than allowed. */
export interface HeaderSink {
  onBlock(streamId: number, block: HeaderBlock | undefined, endStream: boolean, selfDependent: boolean): void;
}

/**
 * Puts HEADERS and CONTINUATION frames together into header blocks.
 * Errors: ConnectionError (broken frames or blocks, too many or too large continuations: CVE-2024-27316).
 */
export class HeaderAssembler {
  readonly #sink: HeaderSink;
  readonly #blocks: HeaderBlockReader;
  readonly #maxSize: number;
  #run: HeaderRun | undefined;

  constructor(sink: HeaderSink, maxListSize: number) {
    this.#sink = sink;
    this.#maxSize = maxListSize;
    this.#blocks = new HeaderBlockReader(protocolDefaults.headerTableSize, maxListSize);
  }

  /** The stream whose block is not complete; only its CONTINUATION may follow. */
  get unfinished(): number {
    return this.#run?.streamId ?? 0;
  }

  headers(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    let from = start;
    let to = end;
    let selfDependent = false;
    if (flags & flag.padded) {
      to -= from < end ? bytes[from++]! : 1;
      if (to < from) throw protocolError("padding is longer than the frame");
    }
    if (flags & flag.priority) {
      if (to - from < 5) throw new ConnectionError(errorCode.frameSizeError, "HEADERS frame is too short");
      selfDependent = (bytes.readUInt32BE(from) & 0x7fff_ffff) === streamId;
      from += 5;
    }
    const endStream = (flags & flag.endStream) !== 0;
    if (flags & flag.endHeaders) {
      this.#sink.onBlock(streamId, this.#blocks.read(bytes, from, to), endStream, selfDependent);
      return;
    }
    this.#run = { streamId, endStream, selfDependent, parts: [bytes.subarray(from, to)], size: to - from };
  }

  continuation(flags: number, streamId: number, bytes: Buffer, start: number, end: number): void {
    const run = this.#run;
    if (run === undefined || run.streamId !== streamId) throw protocolError("CONTINUATION without HEADERS");
    run.parts.push(bytes.subarray(start, end));
    // An empty frame counts as well, or they could go on for ever; a block that is just small enough has room for its frames.
    run.size += end - start + 64;
    if (run.size > 2 * this.#maxSize) throw new ConnectionError(errorCode.enhanceYourCalm, "header block is too large");
    if ((flags & flag.endHeaders) === 0) return;
    this.#run = undefined;
    const whole = Buffer.concat(run.parts);
    const block = this.#blocks.read(whole, 0, whole.length);
    this.#sink.onBlock(streamId, block, run.endStream, run.selfDependent);
  }
}

function protocolError(message: string): ConnectionError {
  return new ConnectionError(errorCode.protocolError, message);
}
