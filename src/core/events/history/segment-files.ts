import fs from "node:fs/promises";
import path from "node:path";
import { isErrno } from "../../../sys/index.ts";
import { bodyOf, recordHeaderBytes, recordLength, recordMaxBytes, sequenceOf } from "./record.ts";

/** A file of records. */
export interface Segment {
  path: string;
  /** The number of its first event. */
  readonly first: number;
  last: number;
  count: number;
  /** How much of it is records: what may follow was cut short, or is what could not be cut off. */
  bytes: number;
  readonly oldestMs: number;
  newestMs: number;
  /** Nothing is appended any more. */
  sealed: boolean;
  /** It was said that a part of it can't be read. */
  isBroken: boolean;
}

const suffix = ".events";
/** `FIRST.events` is written to, `FIRST-LAST-COUNT-NEWEST.events` is closed: nothing of it needs reading at a start. */
const nameForm = /^(\d+)(?:-(\d+)-(\d+)-(\d+))?\.events$/;

export function openName({ first }: Pick<Segment, "first">): string {
  return `${first}${suffix}`;
}

export function closedName({ first, last, count, newestMs }: Segment): string {
  return `${first}-${last}-${count}-${newestMs}${suffix}`;
}

/** What the names in a folder say, the oldest first: undefined where a file has to be read for it. Shape: other names are not ours. */
export function readNames(
  names: readonly string[],
): readonly { readonly name: string; readonly first: number; readonly said: readonly number[] | undefined }[] {
  return names
    .flatMap((name) => {
      const parsed = nameForm.exec(name);
      const [first = 0, ...rest] = (parsed ?? []).slice(1).flatMap((text) => (text === undefined ? [] : Number(text)));
      const isOurs = parsed !== null && [first, ...rest].every((number) => Number.isSafeInteger(number)) && first > 0;
      return isOurs ? [{ name, first, said: rest.length === 0 ? undefined : rest }] : [];
    })
    .sort((one, other) => one.first - other.first);
}

/** An event of a segment. Shape: valid until the next one is asked for. */
export interface Walked {
  readonly body: Buffer;
  readonly sequence: number;
  /** Where the next one begins. */
  readonly end: number;
}

/**
 * The events of a segment as far as it is written now, in pieces of `pieceBytes` between which others have their turn. Ends before what
 * is no whole record, or has no greater number than the one before: that is what a failed write left behind.
 * Errors: as the filesystem's.
 */
export async function* walk(segment: Segment, pieceBytes: number): AsyncGenerator<Walked> {
  await using file = await openSegment(segment);
  const size = segment.bytes;
  let [buffer, held, last, piece] = [Buffer.allocUnsafe(Math.min(pieceBytes, size)), 0, 0, pieceBytes];
  for (let at = 0; at < size; ) {
    const wanted = Math.min(piece - held, size - at);
    const { bytesRead } = await file.read(buffer, held, wanted, at);
    if (bytesRead === 0) return;
    at += bytesRead;
    const bytes = buffer.subarray(0, held + bytesRead);
    let used = 0;
    let length = recordLength(bytes, used);
    for (; length !== undefined && used + length <= bytes.length; length = recordLength(bytes, used)) {
      const body = bodyOf(bytes.subarray(used, used + length));
      const sequence = body && sequenceOf(body);
      if (body === undefined || sequence === undefined || sequence <= last) return;
      [used, last] = [used + length, sequence];
      yield { body, sequence, end: at - bytes.length + used };
    }
    if ((length ?? 0) > recordHeaderBytes + recordMaxBytes) return;
    held = bytes.length - used;
    const rest = bytes.subarray(used);
    // A record that is longer than a piece, which those behind it are not to come in, too.
    piece = Math.max(pieceBytes, length ?? 0);
    if (piece > buffer.length) buffer = Buffer.allocUnsafe(Math.min(piece, size));
    buffer.set(rest);
  }
}

/** It may have got its other name just now, which is noted a little later where another thread gives it. */
async function openSegment(segment: Segment): Promise<fs.FileHandle> {
  const name = segment.path;
  try {
    return await fs.open(name, "r");
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
    return fs.open(segment.sealed ? path.join(path.dirname(name), closedName(segment)) : segment.path, "r");
  }
}

/** A segment of the life before, of which only its name was looked at; undefined for what is no file. Errors: as the filesystem's. */
export async function statSegment(
  folder: string,
  { name, first, said }: ReturnType<typeof readNames>[number],
): Promise<Segment | undefined> {
  const file = path.join(folder, name);
  const stat = await fs.lstat(file);
  if (!stat.isFile()) return undefined;
  const [last = first, count = 0, newestMs = Math.floor(stat.mtimeMs)] = said ?? [];
  const times = { oldestMs: newestMs, newestMs };
  return { path: file, first, last, count, bytes: stat.size, ...times, sealed: false, isBroken: false };
}
