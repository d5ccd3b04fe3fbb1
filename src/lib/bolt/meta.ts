import { PageError, pageHeaderBytes, readNumber, viewOf } from "./pages.ts";

/** Where a file's newest transaction begins. */
export interface Meta {
  readonly pageBytes: number;
  /** The page of the bucket that holds all others. */
  readonly root: number;
  /** The first page that is not in use: all others lie before it. */
  readonly end: number;
  readonly transaction: bigint;
}

/** Source: bbolt internal/common/types.go, Magic and Version. */
const [magic, version] = [0xed0cdaed, 2];
const checkedBytes = 56;
export const metaBytes: number = pageHeaderBytes + checkedBytes + 8;
/** The sizes that bbolt looks for a second meta page at. Source: bbolt db.go, getPageSizeFromSecondMeta. */
export const pageSizes: readonly number[] = Array.from({ length: 15 }, (_none, power) => 1024 << power);

/**
 * Reads a meta page.
 * Shape: `metaBytes` from the page's start. Errors: PageError, saying what is wrong with it.
 * Source: bbolt internal/common/meta.go, Validate and Sum64.
 */
export function readMeta(bytes: Uint8Array): Meta {
  if (bytes.length < metaBytes) throw new PageError("the file ends within it");
  const body = bytes.subarray(pageHeaderBytes, metaBytes);
  const view = viewOf(body);
  if (view.getUint32(0, true) !== magic) throw new PageError("it has not bolt's magic number");
  const found = view.getUint32(4, true);
  if (found !== version) throw new PageError(`it has version ${found} and not ${version}`);
  if (view.getBigUint64(checkedBytes, true) !== fnv1a(body.subarray(0, checkedBytes)))
    throw new PageError("its checksum is wrong");
  const pageBytes = view.getUint32(8, true);
  if (!pageSizes.includes(pageBytes)) throw new PageError(`a page size of ${pageBytes}`);
  return {
    pageBytes,
    root: readNumber(view, 16),
    end: readNumber(view, 40),
    transaction: view.getBigUint64(48, true),
  };
}

/** Source: draft-eastlake-fnv, the 64 bit FNV-1a. */
function fnv1a(bytes: Uint8Array): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of bytes) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  return hash;
}
