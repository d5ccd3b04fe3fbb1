import { readFile } from "node:fs/promises";
import { type DescMessage, fromBinary, type MessageShape, toBinary } from "@bufbuild/protobuf";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";

/** Two magic numbers come before the entries, and each entry's length before it. Source: criu lib/pycriu/images/images.py. */
const magicBytes = 8;
const lengthBytes = 4;

/** An image as CRIU writes it: the magic numbers as they were, and the entries. */
export interface CriuImage<D extends DescMessage> {
  readonly magic: Uint8Array;
  readonly entries: readonly MessageShape<D>[];
}

/** Reads an image of entries of one kind; undefined when there is no such file. Errors: invalidArgument (it is no image). */
export async function readCriuImage<D extends DescMessage>(path: string, schema: D): Promise<CriuImage<D> | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  try {
    return { magic: bytes.subarray(0, magicBytes), entries: [...entriesOf(bytes, schema)] };
  } catch (error) {
    const why = messageOf(error);
    throw new FaultError("invalidArgument", `read CRIU image ${quote(path)}: ${why}`, { cause: error });
  }
}

function* entriesOf<D extends DescMessage>(bytes: Buffer, schema: D): Generator<MessageShape<D>, void, undefined> {
  for (let at = magicBytes; at < bytes.length; ) {
    const start = at + lengthBytes;
    const end = start + bytes.readUInt32LE(at);
    if (end > bytes.length) throw new RangeError("it ends within an entry");
    yield fromBinary(schema, bytes.subarray(start, end));
    at = end;
  }
}

/** The bytes of an image. */
export function encodeCriuImage<D extends DescMessage>(schema: D, { magic, entries }: CriuImage<D>): Uint8Array {
  const parts: Uint8Array[] = [magic];
  for (const entry of entries) {
    const bytes = toBinary(schema, entry);
    const length = Buffer.alloc(lengthBytes);
    length.writeUInt32LE(bytes.length);
    parts.push(length, bytes);
  }
  return Buffer.concat(parts);
}
