import {
  closeSync,
  constants,
  openSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Any } from "@bufbuild/protobuf/wkt";
import { type Event, EventSchema } from "../../gen/lighter/shim/v1/host_pb.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Instant } from "../../lib/instant.ts";
import type { Logger } from "../../lib/log.ts";
import { isErrno } from "../../sys/index.ts";

export interface EventJournalOptions {
  readonly path: string;
  readonly log: Logger;
  /** Events kept without an acknowledgement; the oldest go when there are more. */
  readonly capacity?: number;
}

const defaultCapacity = 65536;
/** The file is written anew once it has this much that nobody needs. */
const compactAboveBytes = 1 << 20;
const recordHeaderBytes = 8;
/** No event is longer; a length beyond it is garbage. */
const maxRecordBytes = 4 << 20;

/**
 * The events of all tasks in order, kept on disk until they are acknowledged.
 * Shape: records of length, CRC-32 and a lighter.shim.v1.Event; one without a topic says up to where events are
 * acknowledged. A torn or broken tail is cut off.
 * Effects: an append is one write without sync; at most 65536 events wait, then the oldest are dropped with a warning
 * and readers see a gap in the numbers.
 */
export class EventJournal implements Disposable {
  readonly #path: string;
  readonly #log: Logger;
  readonly #capacity: number;
  #events: Event[] = [];
  #last = 0n;
  #acknowledged = 0n;
  #fd: number;
  #size = 0;
  #liveBytes = 0;
  #waiters: (() => void)[] = [];

  constructor({ path, log, capacity }: EventJournalOptions) {
    this.#path = path;
    this.#log = log;
    this.#capacity = capacity ?? defaultCapacity;
    this.#load();
    this.#fd = this.#open();
  }

  get lastSequence(): bigint {
    return this.#last;
  }

  /** Adds an event; it is on its way to readers, and safe from a crash of this process, when this returns. */
  append(namespace: string, topic: string, event: Any, at: Instant): bigint {
    const sequence = this.#last + 1n;
    const message = create(EventSchema, { sequence, timestamp: at.toTimestamp(), namespace, topic, event });
    this.#last = sequence;
    this.#events.push(message);
    this.#liveBytes += this.#write(message);
    if (this.#events.length > this.#capacity) this.#dropOldest();
    this.#wake();
    return sequence;
  }

  /** Forgets every event up to and including `sequence`. */
  acknowledge(sequence: bigint): void {
    const upTo = sequence < this.#last ? sequence : this.#last;
    if (upTo <= this.#acknowledged) return;
    this.#acknowledged = upTo;
    this.#events = this.#events.filter((event) => event.sequence > upTo);
    if (this.#events.length === 0) this.#liveBytes = 0;
    this.#write(create(EventSchema, { sequence: upTo }));
    if (this.#size > compactAboveBytes && this.#size > 2 * this.#liveBytes) this.#compact();
  }

  /** Kept events above `after`, then new ones as they come, until `signal` fires. */
  async *read(after: bigint, signal: AbortSignal): AsyncGenerator<Event, void, undefined> {
    let cursor = after;
    const stop = (): void => this.#wake();
    signal.addEventListener("abort", stop);
    try {
      while (!signal.aborted) {
        const next = this.#firstAfter(cursor);
        if (next === undefined) {
          await new Promise<void>((resolve) => this.#waiters.push(resolve));
        } else {
          cursor = next.sequence;
          yield next;
        }
      }
    } finally {
      signal.removeEventListener("abort", stop);
    }
  }

  /** The kept events, oldest first. */
  kept(): readonly Event[] {
    return this.#events;
  }

  [Symbol.dispose](): void {
    closeSync(this.#fd);
    this.#wake();
  }

  /** Numbers are dense but for dropped events, so that the place of one is known but for those. */
  #firstAfter(cursor: bigint): Event | undefined {
    const first = this.#events[0];
    if (first === undefined || cursor >= this.#last) return undefined;
    if (cursor < first.sequence) return first;
    return this.#events[Number(cursor - first.sequence) + 1];
  }

  #dropOldest(): void {
    const dropped = this.#events.splice(0, Math.ceil(this.#capacity / 4));
    this.#log.warn("nobody takes the events; the oldest were dropped", { dropped: dropped.length });
    this.#acknowledged = dropped.at(-1)?.sequence ?? this.#acknowledged;
    this.#compact();
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }

  #write(event: Event): number {
    const bytes = encodeRecord(event);
    writeSync(this.#fd, bytes);
    this.#size += bytes.length;
    return bytes.length;
  }

  #compact(): void {
    const records = [create(EventSchema, { sequence: this.#acknowledged }), ...this.#events].map(encodeRecord);
    const bytes = Buffer.concat(records);
    writeFileSync(`${this.#path}.new`, bytes, { mode: 0o600 });
    renameSync(`${this.#path}.new`, this.#path);
    closeSync(this.#fd);
    this.#fd = this.#open();
    this.#size = bytes.length;
    this.#liveBytes = bytes.length;
  }

  #open(): number {
    return openSync(this.#path, constants.O_CREAT | constants.O_WRONLY | constants.O_APPEND, 0o600);
  }

  #load(): void {
    let bytes: Buffer;
    try {
      bytes = readFileSync(this.#path);
    } catch (error) {
      if (isErrno(error, "ENOENT")) return;
      throw error;
    }
    const { events, whole, problem } = decodeRecords(bytes);
    if (whole < bytes.length) {
      this.#log.warn("the event journal's tail is broken and was cut off", { bytes: bytes.length - whole, problem });
      truncateSync(this.#path, whole);
    }
    for (const event of events) {
      if (event.topic === "") this.#acknowledged = event.sequence;
      else this.#events.push(event);
      if (event.sequence > this.#last) this.#last = event.sequence;
    }
    this.#events = this.#events.filter((event) => event.sequence > this.#acknowledged);
    this.#size = whole;
    this.#liveBytes = this.#events.length === 0 ? 0 : whole;
  }
}

function encodeRecord(event: Event): Buffer {
  const body = toBinary(EventSchema, event);
  const bytes = Buffer.alloc(recordHeaderBytes + body.length);
  bytes.writeUInt32LE(body.length, 0);
  bytes.writeUInt32LE(Bun.hash.crc32(body), 4);
  bytes.set(body, recordHeaderBytes);
  return bytes;
}

function decodeRecords(bytes: Buffer): { events: Event[]; whole: number; problem: string } {
  const events: Event[] = [];
  let at = 0;
  while (at + recordHeaderBytes <= bytes.length) {
    const length = bytes.readUInt32LE(at);
    const end = at + recordHeaderBytes + length;
    if (length > maxRecordBytes || end > bytes.length) return { events, whole: at, problem: "cut off" };
    const body = bytes.subarray(at + recordHeaderBytes, end);
    if (Bun.hash.crc32(body) !== bytes.readUInt32LE(at + 4)) return { events, whole: at, problem: "wrong checksum" };
    try {
      events.push(fromBinary(EventSchema, new Uint8Array(body)));
    } catch (error) {
      return { events, whole: at, problem: messageOf(error) };
    }
    at = end;
  }
  return { events, whole: at, problem: "cut off" };
}
