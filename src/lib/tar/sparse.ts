import { type Field, fields, numberField } from "./block.ts";
import { type ByteString, blockBytes, TarError, type TarSegment } from "./entry.ts";
import { type PaxRecords, paxNumber } from "./pax.ts";

/** The most stretches a sparse file may have here; a map larger than that is an attack on memory. */
export const maxSegments: number = 1 << 18;

/**
 * Checks that stretches are in order, apart, and inside the file.
 * Errors: TarError.
 */
export function checkSegments(segments: readonly TarSegment[], sizeBytes: number): readonly TarSegment[] {
  let previousEnd = 0;
  for (const { offset, length } of segments) {
    if (offset < previousEnd || length < 0 || offset + length > sizeBytes) throw new TarError("invalid sparse map");
    previousEnd = offset + length;
  }
  return segments.filter((segment) => segment.length > 0);
}

/** The data that a sparse file's stretches hold together. */
export function dataBytes(segments: readonly TarSegment[]): number {
  let total = 0;
  for (const { length } of segments) total += length;
  return total;
}

/** GNU's old format: stretches in the header (four) or in an extension block (21). Errors: TarError. */
export function gnuSegments(block: Buffer, [offset, size]: Field): TarSegment[] {
  const segments: TarSegment[] = [];
  for (let at = offset; at + 24 <= offset + size; at += 24) {
    if (block[at] === 0) break;
    segments.push({ offset: numberField(block, [at, 12]), length: numberField(block, [at + 12, 12]) });
  }
  return segments;
}

/** Where a block of GNU's old format says that another extension follows. */
export const gnuExtension: { readonly entries: Field; readonly more: number } = { entries: [0, 504], more: 504 };

export function gnuHeaderExtended(block: Buffer): boolean {
  return block[fields.gnuExtended[0]] !== 0;
}

/** What extended headers tell of a sparse file; undefined when the file is none. */
export interface PaxSparse {
  readonly version: "0" | "1.0";
  readonly name: ByteString | undefined;
  readonly sizeBytes: number;
  /** Version 0.x only: 1.0 keeps its map before the data. */
  readonly segments: readonly TarSegment[];
}

/** Source: GNU tar manual, "Storing Sparse Files". Errors: TarError. */
export function paxSparse(records: PaxRecords): PaxSparse | undefined {
  const of = (key: string): string | undefined => records.findLast((record) => record[0] === `GNU.sparse.${key}`)?.[1];
  if (of("major") === "1" && of("minor") === "0") {
    const size = of("realsize");
    if (size === undefined) throw new TarError("sparse file without a size");
    return { version: "1.0", name: of("name"), sizeBytes: paxNumber(size), segments: [] };
  }
  const size = of("size");
  if (size === undefined) return undefined;
  const map = of("map");
  const numbers = map === undefined ? pairsOf(records) : map.split(",").filter((part) => part !== "");
  return { version: "0", name: of("name"), sizeBytes: paxNumber(size), segments: toSegments(numbers.map(paxNumber)) };
}

function pairsOf(records: PaxRecords): string[] {
  const numbers: string[] = [];
  for (const [key, value] of records) {
    if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") numbers.push(value);
  }
  return numbers;
}

function toSegments(numbers: readonly number[]): TarSegment[] {
  if (numbers.length % 2 !== 0 || numbers.length / 2 > maxSegments) throw new TarError("invalid sparse map");
  const segments: TarSegment[] = [];
  for (let index = 0; index < numbers.length; index += 2) {
    segments.push({ offset: numbers[index] as number, length: numbers[index + 1] as number });
  }
  return segments;
}

/**
 * How many lines version 1.0's map has, from the map's first block: the first line counts the stretches.
 * Errors: TarError.
 */
export function sparseMapLines(block: Buffer): number {
  const end = block.indexOf(0x0a);
  const count = end === -1 ? -1 : paxNumber(block.toString("latin1", 0, end));
  if (count < 0 || count > maxSegments) throw new TarError("invalid sparse map");
  return 1 + count * 2;
}

/** The most blocks that a map of so many lines can take, at 20 digits a number. */
export function maxMapBlocks(lines: number): number {
  return Math.ceil((lines * 21) / blockBytes);
}

/** Version 1.0's map: decimal numbers, one a line, the count first, all of it there. Errors: TarError. */
export function parseSparseMap(data: Buffer): TarSegment[] {
  const lines = sparseMapLines(data);
  const numbers: number[] = [];
  let at = data.indexOf(0x0a) + 1;
  while (numbers.length < lines - 1) {
    const end = data.indexOf(0x0a, at);
    if (end === -1) throw new TarError("invalid sparse map");
    numbers.push(paxNumber(data.toString("latin1", at, end)));
    at = end + 1;
  }
  return toSegments(numbers);
}
