// Pages as bbolt writes them on a little-endian machine.
// Source: bbolt internal/common/page.go, inode.go, bucket.go.

/** One element of a branch page: the first key below a child, and that child's page. */
export interface BranchElement {
  readonly key: Uint8Array;
  readonly child: number;
}

/** One element of a leaf page; `isBucket` when the value is a nested bucket's header. */
export interface LeafElement {
  readonly key: Uint8Array;
  readonly value: Uint8Array;
  readonly isBucket: boolean;
}

/** A page whose elements all lie within it. */
export type Page =
  | { readonly kind: "branch"; readonly elements: readonly BranchElement[] }
  | { readonly kind: "leaf"; readonly elements: readonly LeafElement[] };

export interface PageHeader {
  readonly id: number;
  readonly flags: number;
  readonly count: number;
  readonly overflow: number;
}

/** What is wrong with a page; whoever knows the file puts its name before it. */
export class PageError extends Error {}

export const pageHeaderBytes = 16;
export const bucketHeaderBytes = 16;
const elementBytes = 16;
/** Source: bbolt bucket.go, MaxKeySize. */
const maxKeyBytes = 32768;
const [branchFlag, leafFlag, bucketFlag] = [0x01, 0x02, 0x01];

/** Errors: PageError (too few bytes, an id that no file can have). */
export function readHeader(bytes: Uint8Array): PageHeader {
  if (bytes.length < pageHeaderBytes) throw new PageError(`${bytes.length} bytes are no page`);
  const view = viewOf(bytes);
  return {
    id: readNumber(view, 0),
    flags: view.getUint16(8, true),
    count: view.getUint16(10, true),
    overflow: view.getUint32(12, true),
  };
}

/** Errors: PageError, when it is no page of data or an element does not lie within it. */
export function readPage(bytes: Uint8Array): Page {
  const { flags, count } = readHeader(bytes);
  if (pageHeaderBytes + count * elementBytes > bytes.length)
    throw new PageError(`${count} elements do not fit into ${bytes.length} bytes`);
  const starts = Array.from({ length: count }, (_none, index) => pageHeaderBytes + index * elementBytes);
  const view = viewOf(bytes);
  if (flags === branchFlag) return { kind: "branch", elements: starts.map((at) => branchElement(bytes, view, at)) };
  if (flags === leafFlag) return { kind: "leaf", elements: starts.map((at) => leafElement(bytes, view, at)) };
  throw new PageError(`type ${flags} is neither branch nor leaf`);
}

/** Shape: an unsigned 64 bit number that a double can hold. Errors: PageError. */
export function readNumber(view: DataView, at: number): number {
  const value = view.getBigUint64(at, true);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new PageError(`number ${value} is too large`);
  return Number(value);
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function branchElement(bytes: Uint8Array, view: DataView, at: number): BranchElement {
  const [position, keyBytes] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
  return { key: keyOf(bytes, at + position, keyBytes), child: readNumber(view, at + 8) };
}

function leafElement(bytes: Uint8Array, view: DataView, at: number): LeafElement {
  const position = at + view.getUint32(at + 4, true);
  const [keyBytes, valueBytes] = [view.getUint32(at + 8, true), view.getUint32(at + 12, true)];
  const key = keyOf(bytes, position, keyBytes);
  const end = position + keyBytes + valueBytes;
  if (end > bytes.length) throw new PageError(`a value of ${valueBytes} bytes ends beyond the page`);
  return {
    key,
    value: bytes.subarray(position + keyBytes, end),
    isBucket: (view.getUint32(at, true) & bucketFlag) !== 0,
  };
}

function keyOf(bytes: Uint8Array, position: number, length: number): Uint8Array {
  if (length === 0 || length > maxKeyBytes) throw new PageError(`a key has ${length} bytes`);
  if (position + length > bytes.length) throw new PageError(`a key of ${length} bytes ends beyond the page`);
  return bytes.subarray(position, position + length);
}
