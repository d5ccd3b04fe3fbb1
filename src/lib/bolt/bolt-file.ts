import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { FaultError, messageOf } from "../faults.ts";
import { BoltBucket, type PageSource } from "./bucket.ts";
import { type Meta, metaBytes, pageSizes, readMeta } from "./meta.ts";
import { type Page, PageError, pageHeaderBytes, readHeader, readPage } from "./pages.ts";

export interface BoltLimits {
  /** A larger file is not read. */
  readonly fileBytes: number;
  /** A page with what it runs over into. */
  readonly pageBytes: number;
}

/** A database of containerd with a hundred thousand snapshots has some hundred MB; a value is bounded by gRPC. */
const defaultLimits: BoltLimits = { fileBytes: 8 * 2 ** 30, pageBytes: 64 * 2 ** 20 };

/** A bolt database, open for reading. Nothing is written to it, and no page is kept beyond its use. */
export interface BoltFile extends Disposable {
  readonly path: string;
  readonly sizeBytes: number;
  /** The number of the newest whole transaction: what is read is what it left. */
  readonly transaction: bigint;
  /** The bucket that holds all others. */
  readonly root: BoltBucket;
}

/**
 * Opens a bbolt file.
 * Errors: notFound, dataLoss (what is damaged, and where), resourceExhausted (larger than the limits), unknown (the system's).
 * Effects: reads are positioned and as large as a page; each blocks for as long as the disk needs. Who writes to the file
 * meanwhile breaks it: hold its lock. Every read afterwards may throw dataLoss, too; no content of a file makes one go on for ever.
 * Source: bbolt db.go, Open and meta.
 */
export function openBolt(path: string, limits: BoltLimits = defaultLimits): BoltFile {
  using stack = new DisposableStack();
  const fd = stack.adopt(openFile(path), closeSync);
  const sizeBytes = fstatSync(fd).size;
  if (sizeBytes > limits.fileBytes)
    throw new FaultError("resourceExhausted", `bolt file ${path} has ${sizeBytes} bytes, more than is read`);
  const meta = newestMeta(path, fd);
  if (meta.end > Math.ceil(sizeBytes / meta.pageBytes))
    throw damaged(path, `it ends at ${sizeBytes} bytes and should have ${meta.end} pages of ${meta.pageBytes}`);
  const pages = createPageSource({ path, fd, meta, maxPageBytes: limits.pageBytes });
  const root = BoltBucket.atPage(pages, meta.root);
  const owned = stack.move();
  return { path, sizeBytes, transaction: meta.transaction, root, [Symbol.dispose]: () => owned.dispose() };
}

function openFile(path: string): number {
  try {
    return openSync(path, "r");
  } catch (error) {
    const kind = (error as { code?: string }).code === "ENOENT" ? "notFound" : "unknown";
    throw new FaultError(kind, `open bolt file: ${messageOf(error)}`, { cause: error });
  }
}

/** The newer of both, or the one that is whole: a crash may have torn the other. */
function newestMeta(path: string, fd: number): Meta {
  const trouble: string[] = [];
  const metaAt = (position: number): Meta | undefined => {
    try {
      return readMeta(readAt(fd, position, metaBytes));
    } catch (error) {
      if (!(error instanceof PageError)) throw error;
      trouble.push(error.message);
      return undefined;
    }
  };
  const first = metaAt(0);
  const second =
    first === undefined
      ? pageSizes.map((size) => [size, metaAt(size)] as const).find(([size, meta]) => meta?.pageBytes === size)?.[1]
      : metaAt(first.pageBytes);
  if (first === undefined && second === undefined)
    throw damaged(path, `no meta page is whole: ${trouble[0] ?? "there is none"}`);
  if (first === undefined || second === undefined) return (first ?? second) as Meta;
  return second.transaction > first.transaction ? second : first;
}

interface PageSourceOptions {
  readonly path: string;
  readonly fd: number;
  readonly meta: Meta;
  readonly maxPageBytes: number;
}

function createPageSource({ path, fd, meta, maxPageBytes }: PageSourceOptions): PageSource {
  // Which bucket's root a page was reached from: a page is one bucket's, which bounds what a hostile file can make us read.
  const owners = new Uint32Array(meta.end);
  const places = new Map<number, string>();
  const fail = (problem: string): FaultError => damaged(path, problem);
  const read = (id: number): Page => {
    const header = readHeader(readAt(fd, id * meta.pageBytes, pageHeaderBytes));
    if (header.id !== id) throw new PageError(`it says that it is page ${header.id}`);
    const pages = header.overflow + 1;
    if (id + pages > meta.end) throw new PageError(`it runs over ${header.overflow} pages, beyond the end`);
    if (pages * meta.pageBytes > maxPageBytes) throw new PageError(`it has ${pages} pages, more than is read`);
    return readPage(readAt(fd, id * meta.pageBytes, pages * meta.pageBytes));
  };
  return {
    fail,
    page: (id, owner) => {
      // The first two pages hold the metas.
      if (id < 2 || id >= meta.end) throw fail(`page ${id} is not one of its ${meta.end} pages`);
      if (owners[id] !== 0 && owners[id] !== owner) throw fail(`page ${id} belongs to two buckets`);
      owners[id] = owner;
      try {
        return read(id);
      } catch (error) {
        if (error instanceof PageError) throw fail(`page ${id}: ${error.message}`);
        throw error;
      }
    },
    claim: (root, place) => {
      const before = places.get(root);
      if (before !== undefined && before !== place) throw fail(`page ${root} is the root of two buckets`);
      places.set(root, place);
    },
  };
}

/** Shape: fewer bytes at the end of the file. */
function readAt(fd: number, position: number, length: number): Uint8Array {
  const bytes = new Uint8Array(length);
  let done = 0;
  while (done < length) {
    const count = readSync(fd, bytes, done, length - done, position + done);
    if (count === 0) break;
    done += count;
  }
  return bytes.subarray(0, done);
}

function damaged(path: string, problem: string): FaultError {
  return new FaultError("dataLoss", `bolt file ${path} is damaged: ${problem}`);
}
