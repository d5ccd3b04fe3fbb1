import { fields, isZeroBlock, numberField, paddingAfter } from "./block.ts";
import { type ByteString, blockBytes, type TarEntry, TarError, type TarSegment } from "./entry.ts";
import { decodeHeader, metaTypes, paxSize, type RawHeader, withPax } from "./header.ts";
import { type PaxRecords, parsePax } from "./pax.ts";
import {
  checkSegments,
  dataBytes,
  gnuExtension,
  gnuHeaderExtended,
  gnuSegments,
  maxMapBlocks,
  maxSegments,
  parseSparseMap,
  paxSparse,
  sparseMapLines,
} from "./sparse.ts";

/** Takes what a reader finds, in the archive's order, synchronously. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** A piece of the last entry's data, at that offset in the file; only borrowed until the call returns. */
  data(bytes: Uint8Array, offset: number): void;
  /** The last entry is whole. */
  end(): void;
}

/** The longest extended header or long name. Source: Go archive/tar, maxSpecialFileSize. */
const maxMetaBytes = 1 << 20;

type State = "header" | "meta" | "gnu-sparse" | "sparse-map" | "data" | "padding" | "end";

/**
 * Reads an archive that is pushed to it piece by piece: ustar, pax, GNU and old tars, long names, sparse files.
 * Memory stays bounded by 1 MiB of extended header plus a sparse map, whatever comes.
 * Errors: TarError from any method; the reader is of no use afterwards.
 */
export class TarReader {
  readonly #sink: TarSink;
  readonly #block: Buffer = Buffer.alloc(blockBytes);
  #blockUsed = 0;
  #state: State = "header";
  #zeroBlocks = 0;
  #remaining = 0;
  #padding = 0;
  #meta: Buffer[] = [];
  #metaType = "";
  #pax: PaxRecords = [];
  #longName: ByteString | undefined;
  #longLink: ByteString | undefined;
  #pending: TarEntry | undefined;
  #mapLines = 0;
  #mapLinesSeen = 0;
  #segments: TarSegment[] = [];
  #segmentIndex = 0;
  #segmentDone = 0;
  #offset = 0;
  #current: ByteString | undefined;

  constructor(sink: TarSink) {
    this.#sink = sink;
  }

  /** True once the archive's end mark was read; what follows it is of no interest. */
  get ended(): boolean {
    return this.#state === "end";
  }

  /** The member that is being read, for error texts. */
  get current(): ByteString | undefined {
    return this.#current;
  }

  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length && this.#state !== "end") at += this.#take(chunk, at);
  }

  /**
   * Call after the last piece. Errors: TarError when the archive stops in the middle of a member.
   * Shape: the end mark, and the last member's padding, may be missing. Source: Go archive/tar, Reader.next.
   */
  finish(): void {
    if (this.#state === "end") return;
    const between = this.#state === "header" || this.#state === "padding";
    const unfinished = this.#pax.length > 0 || this.#longName !== undefined || this.#longLink !== undefined;
    if (!between || this.#blockUsed > 0 || unfinished) {
      throw new TarError("unexpected end of archive", this.#current);
    }
    this.#state = "end";
  }

  #take(chunk: Uint8Array, at: number): number {
    switch (this.#state) {
      case "data":
        return this.#takeData(chunk, at);
      case "padding":
        return this.#takePadding(chunk, at);
      case "meta":
        return this.#takeMeta(chunk, at);
      default:
        return this.#takeBlock(chunk, at);
    }
  }

  #takeBlock(chunk: Uint8Array, at: number): number {
    const count = Math.min(blockBytes - this.#blockUsed, chunk.length - at);
    this.#block.set(count === chunk.length ? chunk : chunk.subarray(at, at + count), this.#blockUsed);
    this.#blockUsed += count;
    if (this.#blockUsed === blockBytes) {
      this.#blockUsed = 0;
      if (this.#state === "gnu-sparse") this.#extendGnuSparse();
      else if (this.#state === "sparse-map") this.#extendSparseMap();
      else this.#header();
    }
    return count;
  }

  #header(): void {
    if (isZeroBlock(this.#block)) {
      if (++this.#zeroBlocks === 2) this.#state = "end";
      return;
    }
    if (this.#zeroBlocks > 0) throw new TarError("invalid header after a zero block");
    const raw = decodeHeader(this.#block);
    if (metaTypes.has(raw.type)) return this.#startMeta(raw);
    this.#startEntry(raw);
  }

  #startMeta(raw: RawHeader): void {
    if (raw.storedBytes > maxMetaBytes) throw new TarError("extended header too large");
    this.#metaType = raw.type;
    this.#meta = [];
    this.#remaining = raw.storedBytes;
    this.#padding = paddingAfter(raw.storedBytes);
    this.#state = "meta";
    if (raw.storedBytes === 0) this.#endMeta();
  }

  #takeMeta(chunk: Uint8Array, at: number): number {
    const count = Math.min(this.#remaining, chunk.length - at);
    this.#meta.push(Buffer.from(chunk.subarray(at, at + count)));
    this.#remaining -= count;
    if (this.#remaining === 0) this.#endMeta();
    return count;
  }

  #endMeta(): void {
    const data = Buffer.concat(this.#meta);
    this.#meta = [];
    const text = (): ByteString => data.toString("latin1").replace(/\0[^]*$/, "");
    if (this.#metaType === "x" || this.#metaType === "X") this.#pax = parsePax(data);
    else if (this.#metaType === "g") parsePax(data);
    else if (this.#metaType === "L") this.#longName = text();
    else this.#longLink = text();
    this.#afterData("header");
  }

  #startEntry(raw: RawHeader): void {
    let entry = raw.entry;
    if (this.#longName !== undefined) entry = { ...entry, name: this.#longName };
    if (this.#longLink !== undefined) entry = { ...entry, linkName: this.#longLink };
    const pax = this.#pax;
    entry = withPax(entry, pax);
    // A file by type whose name, even a long one, ends in a slash is what old tars called a folder.
    if (entry.kind === "file" && entry.name.endsWith("/")) entry = { ...entry, kind: "directory" };
    const stored = entry.kind === "file" ? (paxSize(pax) ?? raw.storedBytes) : 0;
    if (entry.name.includes("\0") || entry.linkName.includes("\0")) throw new TarError("NUL in a name", entry.name);
    this.#pax = [];
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#current = entry.name;
    this.#remaining = stored;
    this.#padding = paddingAfter(stored);
    this.#segments = [];
    this.#pending = { ...entry, sizeBytes: stored };
    this.#startSparse(raw, pax);
  }

  /** Finds out whether the member is sparse, and reads its map before its data if so. */
  #startSparse(raw: RawHeader, pax: PaxRecords): void {
    const entry = this.#pending as TarEntry;
    if (entry.kind !== "file") return this.#announce();
    if (raw.type === "S") {
      this.#pending = { ...entry, sizeBytes: numberField(this.#block, fields.gnuRealSize) };
      this.#segments = gnuSegments(this.#block, fields.gnuSparse);
      if (gnuHeaderExtended(this.#block)) this.#state = "gnu-sparse";
      else this.#announceSparse();
      return;
    }
    const sparse = pax.length === 0 ? undefined : paxSparse(pax);
    if (sparse === undefined) return this.#announce();
    this.#pending = { ...entry, name: sparse.name ?? entry.name, sizeBytes: sparse.sizeBytes };
    this.#current = this.#pending.name;
    this.#segments = [...sparse.segments];
    if (sparse.version === "0") return this.#announceSparse();
    this.#meta = [];
    this.#mapLinesSeen = 0;
    this.#state = "sparse-map";
  }

  #extendGnuSparse(): void {
    this.#segments.push(...gnuSegments(this.#block, gnuExtension.entries));
    if (this.#segments.length > maxSegments) throw new TarError("invalid sparse map", this.#current);
    if (this.#block[gnuExtension.more] === 0) this.#announceSparse();
  }

  #extendSparseMap(): void {
    if (this.#remaining < blockBytes) throw new TarError("invalid sparse map", this.#current);
    this.#remaining -= blockBytes;
    this.#meta.push(Buffer.from(this.#block));
    if (this.#meta.length === 1) this.#mapLines = sparseMapLines(this.#block);
    if (this.#meta.length > maxMapBlocks(this.#mapLines)) throw new TarError("invalid sparse map", this.#current);
    for (let at = this.#block.indexOf(0x0a); at !== -1; at = this.#block.indexOf(0x0a, at + 1)) this.#mapLinesSeen++;
    if (this.#mapLinesSeen < this.#mapLines) return;
    const map = parseSparseMap(Buffer.concat(this.#meta));
    this.#meta = [];
    this.#segments = map;
    this.#announceSparse();
  }

  #announceSparse(): void {
    const entry = this.#pending as TarEntry;
    const segments = checkSegments(this.#segments, entry.sizeBytes);
    if (dataBytes(segments) !== this.#remaining) throw new TarError("invalid sparse map", entry.name);
    this.#segments = [...segments];
    this.#pending = { ...entry, segments };
    this.#announce();
  }

  #announce(): void {
    const entry = this.#pending as TarEntry;
    this.#pending = undefined;
    this.#segmentIndex = 0;
    this.#segmentDone = 0;
    this.#offset = 0;
    this.#sink.entry(entry);
    if (this.#remaining > 0) this.#state = "data";
    else this.#endEntry();
  }

  #takeData(chunk: Uint8Array, at: number): number {
    const segment = this.#segments[this.#segmentIndex];
    const room = segment === undefined ? this.#remaining : segment.length - this.#segmentDone;
    const count = Math.min(room, chunk.length - at);
    const offset = segment === undefined ? this.#offset : segment.offset + this.#segmentDone;
    this.#sink.data(chunk.subarray(at, at + count), offset);
    this.#remaining -= count;
    this.#offset += count;
    this.#segmentDone += count;
    if (segment !== undefined && this.#segmentDone === segment.length) {
      this.#segmentIndex++;
      this.#segmentDone = 0;
    }
    if (this.#remaining === 0) this.#endEntry();
    return count;
  }

  #endEntry(): void {
    this.#sink.end();
    this.#current = undefined;
    this.#afterData("header");
  }

  #afterData(next: State): void {
    this.#state = this.#padding > 0 ? "padding" : next;
  }

  #takePadding(chunk: Uint8Array, at: number): number {
    const count = Math.min(this.#padding, chunk.length - at);
    this.#padding -= count;
    if (this.#padding === 0) this.#state = "header";
    return count;
  }
}
