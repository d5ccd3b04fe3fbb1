import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { FaultError } from "../faults.ts";
import { type BoltBucket, openBolt } from "./index.ts";

/** What a bucket of a test's file holds: values, and buckets. */
export type BoltTree = ReadonlyMap<string, Uint8Array | string | BoltTree>;

/** A bucket of a test's file. */
export function boltTree(given: Readonly<Record<string, Uint8Array | string | BoltTree>>): BoltTree {
  return new Map(Object.entries(given));
}

const pageBytes = 4096;
/** Source: bbolt bucket.go, maxInlineBucketSize. */
const inlineBytes = pageBytes / 4;
/** How many elements a leaf takes here before the bucket gets a branch. */
const leafElements = 50;

interface Element {
  readonly key: Buffer;
  readonly value: Buffer;
  readonly flags: number;
}

/** Writes a bolt file as bbolt would, with branches, pages that run over and buckets within values where they are due. */
export function writeBolt(path: string, tree: BoltTree, transaction = 2n): void {
  const pages: Buffer[] = [];
  const allocate = (bytes: (id: number) => Buffer): number => {
    const id = 4 + pages.length;
    const page = bytes(id);
    const whole = Buffer.alloc(Math.ceil(page.length / pageBytes) * pageBytes);
    page.copy(whole);
    whole.writeUInt32LE(whole.length / pageBytes - 1, 12);
    for (let at = 0; at < whole.length; at += pageBytes) pages.push(whole.subarray(at, at + pageBytes));
    return id;
  };
  const root = writeBucket(tree, allocate);
  // A freelist that is empty, and a page that nothing uses.
  const free = Buffer.alloc(2 * pageBytes);
  free.writeUInt32LE(2, 0);
  free.writeUInt16LE(0x10, 8);
  const metas = [transaction - 1n, transaction].map((one) => metaPage(root, 4 + pages.length, one));
  const ordered = transaction % 2n === 0n ? metas.toReversed() : metas;
  writeFileSync(path, Buffer.concat([...ordered, free, ...pages]));
}

/** Gives a meta page the checksum that it should have. */
export function sealMeta(page: Buffer): void {
  let hash = 0xcbf29ce484222325n;
  for (const byte of page.subarray(16, 72)) hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  page.writeBigUInt64LE(hash, 72);
}

function metaPage(root: number, end: number, transaction: bigint): Buffer {
  const page = Buffer.alloc(pageBytes);
  page.writeBigUInt64LE(transaction % 2n, 0);
  page.writeUInt16LE(0x04, 8);
  page.writeUInt32LE(0xed0cdaed, 16);
  page.writeUInt32LE(2, 20);
  page.writeUInt32LE(pageBytes, 24);
  page.writeBigUInt64LE(BigInt(root), 32);
  page.writeBigUInt64LE(2n, 48);
  page.writeBigUInt64LE(BigInt(end), 56);
  page.writeBigUInt64LE(transaction, 64);
  sealMeta(page);
  return page;
}

type Allocate = (bytes: (id: number) => Buffer) => number;

function writeBucket(tree: BoltTree, allocate: Allocate): number {
  const elements = elementsOf(tree, allocate);
  const leaves: Element[][] = [];
  for (let at = 0; at === 0 || at < elements.length; at += leafElements)
    leaves.push(elements.slice(at, at + leafElements));
  const ids = leaves.map((leaf) => allocate((id) => leafPage(id, leaf)));
  if (ids.length === 1) return ids[0] as number;
  const children = ids.map((child, index) => ({ child, key: leaves[index]?.[0]?.key as Buffer }));
  return allocate((id) => branchPage(id, children));
}

function elementsOf(tree: BoltTree, allocate: Allocate): Element[] {
  const keys = [...tree.keys()].toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return keys.map((name) => {
    const key = Buffer.from(name);
    const given = tree.get(name);
    if (!(given instanceof Map)) return { key, value: Buffer.from(given as Uint8Array), flags: 0 };
    return { key, value: bucketValue(given as BoltTree, allocate), flags: 1 };
  });
}

function bucketValue(tree: BoltTree, allocate: Allocate): Buffer {
  const header = Buffer.alloc(16);
  header.writeBigUInt64LE(BigInt(tree.size), 8);
  if (![...tree.values()].some((value) => value instanceof Map)) {
    const page = leafPage(0, elementsOf(tree, allocate));
    if (page.length <= inlineBytes) return Buffer.concat([header, page]);
  }
  header.writeBigUInt64LE(BigInt(writeBucket(tree, allocate)), 0);
  return header;
}

function leafPage(id: number, elements: readonly Element[]): Buffer {
  const page = Buffer.alloc(16 + elements.length * 16);
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(0x02, 8);
  page.writeUInt16LE(elements.length, 10);
  let end = page.length;
  for (const [index, { key, value, flags }] of elements.entries()) {
    const at = 16 + index * 16;
    page.writeUInt32LE(flags, at);
    page.writeUInt32LE(end - at, at + 4);
    page.writeUInt32LE(key.length, at + 8);
    page.writeUInt32LE(value.length, at + 12);
    end += key.length + value.length;
  }
  return Buffer.concat([page, ...elements.flatMap(({ key, value }) => [key, value])]);
}

/** A branch page, for tests that make broken ones, too. */
export function branchPage(id: number, children: readonly { child: number; key: Buffer }[]): Buffer {
  const page = Buffer.alloc(16 + children.length * 16);
  page.writeBigUInt64LE(BigInt(id), 0);
  page.writeUInt16LE(0x01, 8);
  page.writeUInt16LE(children.length, 10);
  let end = page.length;
  for (const [index, { child, key }] of children.entries()) {
    const at = 16 + index * 16;
    page.writeUInt32LE(end - at, at);
    page.writeUInt32LE(key.length, at + 4);
    page.writeBigUInt64LE(BigInt(child), at + 8);
    end += key.length;
  }
  return Buffer.concat([page, ...children.map(({ key }) => key)]);
}

/** A bucket as an object: values as text. */
export type Plain = { [key: string]: string | Plain };

/** All of a bucket, down to its last value. */
export function plain(bucket: BoltBucket): Plain {
  const all: Plain = {};
  for (const entry of bucket.entries()) {
    const key = Buffer.from(entry.key).toString();
    all[key] = entry.bucket === undefined ? Buffer.from(entry.value ?? []).toString() : plain(entry.bucket);
  }
  return all;
}

/** All of a file. */
export function readAll(path: string): Plain {
  using file = openBolt(path);
  return plain(file.root);
}

/** Reads a file: it ends with a fault that names the file, or with everything. */
export function expectClearEnd(path: string): void {
  try {
    readAll(path);
  } catch (error) {
    if (!(error instanceof FaultError)) throw error;
    if (error.kind !== "dataLoss" || !error.message.includes(path)) throw error;
  }
}

/** Numbers that look random and are the same each time. Source: mulberry32. */
function createRandom(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

/** Reads `rounds` copies of a file, each with some bytes that are not its own; half of them with metas that are whole. */
export function fuzzBolt(original: string, rounds: number): void {
  const path = `${original}.mutant`;
  const whole = readFileSync(original);
  const random = createRandom(20_261_130);
  for (let round = 0; round < rounds; round += 1) {
    const bytes = Buffer.from(whole);
    for (let change = 0; change <= random(8); change += 1) {
      const at = random(bytes.length);
      if (random(3) === 0) bytes.copy(bytes, at, random(bytes.length), random(bytes.length));
      else if (random(2) === 0) bytes.writeUInt8((bytes[at] ?? 0) ^ (1 << random(8)), at);
      // Where headers and elements lie, rather than anywhere.
      else bytes.writeUInt8(random(256), Math.floor(at / pageBytes) * pageBytes + random(128));
    }
    if (round % 2 === 0) for (const at of [0, pageBytes]) sealMeta(bytes.subarray(at, at + pageBytes));
    writeFileSync(path, random(10) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes);
    expectClearEnd(path);
  }
  rmSync(path);
}
