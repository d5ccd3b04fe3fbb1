import { ConnectionError, errorCode } from "./protocol.ts";

/**
 * How many bits each byte takes; the 257th is EOS. The code is canonical, so that lengths are all there is to know:
 * codes count up through the symbols in order of length, then of value. Source: RFC 7541 appendix B.
 */
// biome-ignore format: a table of sixteen a line
const bitLengths = new Uint8Array([
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
  28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
  6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
  13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
  6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
  20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
  22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
  21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
  19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
  20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
  30,
]);

const eos = 256;
const minBits = 5;
const maxBits = 30;

interface DecodeTables {
  /** For every first byte of input: symbol << 4 | bits when a code of 8 bits or fewer starts it, else 0. */
  readonly quick: Uint16Array;
  readonly firstCode: Int32Array;
  readonly firstIndex: Int32Array;
  readonly count: Int32Array;
  /** Symbols in canonical order. */
  readonly symbols: Uint16Array;
}

function buildTables(): DecodeTables {
  const order = [...bitLengths.keys()].sort((a, b) => bitLengths[a]! - bitLengths[b]! || a - b);
  const symbols = Uint16Array.from(order);
  const count = new Int32Array(maxBits + 1);
  for (const bits of bitLengths) count[bits]! += 1;
  const firstCode = new Int32Array(maxBits + 1);
  const firstIndex = new Int32Array(maxBits + 1);
  const quick = new Uint16Array(256);
  let code = 0;
  let index = 0;
  for (let bits = 1; bits <= maxBits; bits++) {
    firstCode[bits] = code;
    firstIndex[bits] = index;
    for (let i = 0; i < count[bits]!; i++, index++, code++) {
      if (bits <= 8) quick.fill((symbols[index]! << 4) | bits, code << (8 - bits), (code + 1) << (8 - bits));
    }
    code <<= 1;
  }
  return { quick, firstCode, firstIndex, count, symbols };
}

let builtTables: DecodeTables | undefined;

/** Built when the first such string comes: a short command's daemon mostly sends none. */
function decodeTables(): DecodeTables {
  builtTables ??= buildTables();
  return builtTables;
}

let scratch = Buffer.allocUnsafe(1024);

/**
 * Decodes a Huffman-coded string, a byte a character.
 * Errors: ConnectionError compressionError (EOS inside, or padding that is longer than 7 bits or not of ones).
 * Source: RFC 7541 section 5.2.
 */
export function huffmanDecode(bytes: Uint8Array, start: number, end: number): string {
  const most = Math.floor(((end - start) * 8) / minBits);
  if (scratch.length < most) scratch = Buffer.allocUnsafe(most * 2);
  const endBit = end * 8;
  const tables = decodeTables();
  let bit = start * 8;
  let length = 0;
  while (bit < endBit) {
    const found = tables.quick[peekByte(bytes, bit, end)]!;
    let symbol = found >> 4;
    let bits = found & 15;
    if (bits === 0) {
      const slow = longCode(tables, bytes, bit, endBit);
      if (slow < 0) break;
      symbol = slow & 0x1ff;
      bits = slow >> 9;
    }
    if (bit + bits > endBit) break;
    if (symbol === eos) throw new ConnectionError(errorCode.compressionError, "huffman string contains EOS");
    scratch[length++] = symbol;
    bit += bits;
  }
  checkPadding(bytes, bit, endBit);
  return scratch.toString("latin1", 0, length);
}

/** The eight bits at a bit position; beyond the end there are ones. */
function peekByte(bytes: Uint8Array, bit: number, end: number): number {
  const at = bit >> 3;
  const next = at + 1 < end ? bytes[at + 1]! : 0xff;
  return (((bytes[at]! << 8) | next) >> (8 - (bit & 7))) & 0xff;
}

/** A code of more than eight bits as bits << 9 | symbol; -1 when the input ends within it. */
function longCode(tables: DecodeTables, bytes: Uint8Array, startBit: number, endBit: number): number {
  let code = 0;
  for (let bits = 1; bits <= maxBits && startBit + bits <= endBit; bits++) {
    const bit = startBit + bits - 1;
    code = (code << 1) | ((bytes[bit >> 3]! >> (7 - (bit & 7))) & 1);
    const offset = code - tables.firstCode[bits]!;
    if (offset >= 0 && offset < tables.count[bits]!) {
      return (bits << 9) | tables.symbols[tables.firstIndex[bits]! + offset]!;
    }
  }
  return -1;
}

function checkPadding(bytes: Uint8Array, bit: number, endBit: number): void {
  const rest = endBit - bit;
  if (rest === 0) return;
  const ones = (1 << rest) - 1;
  if (rest > 7 || (bytes[(endBit >> 3) - 1]! & ones) !== ones) {
    throw new ConnectionError(errorCode.compressionError, "huffman string is padded wrongly");
  }
}
