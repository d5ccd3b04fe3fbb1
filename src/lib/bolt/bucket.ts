import type { FaultError } from "../faults.ts";
import {
  type BranchElement,
  bucketHeaderBytes,
  type LeafElement,
  type Page,
  PageError,
  readNumber,
  readPage,
  viewOf,
} from "./pages.ts";

/** Where a bucket's pages come from. Errors of all: dataLoss. */
export interface PageSource {
  /** A page that was reached from the bucket whose root is `owner`. */
  page(id: number, owner: number): Page;
  /** Notes that a bucket at that place has its root there. */
  claim(root: number, place: string): void;
  fail(problem: string): FaultError;
}

/** A key of a bucket: with a value, or with a bucket below it. */
export interface BoltEntry {
  readonly key: Uint8Array;
  /** Undefined for a nested bucket. Views of the page that was read: whoever keeps one keeps the page. */
  readonly value: Uint8Array | undefined;
  readonly bucket: BoltBucket | undefined;
}

/** A tree of two children each would be this deep with more keys than any file holds. */
const maxDepth = 48;
/** How deep buckets may lie in each other. containerd has six. */
const maxNesting = 32;

interface Range {
  /** The first key that may come, and the first that may not. */
  readonly from: Uint8Array | undefined;
  readonly to: Uint8Array | undefined;
}

/** A bucket: keys in order, each with a value or another bucket. */
export class BoltBucket {
  /** How many ids the bucket gave. Source: bbolt bucket.go, NextSequence. */
  readonly sequence: bigint;
  readonly #pages: PageSource;
  readonly #root: number;
  /** A small bucket's only page lies within its parent's value. */
  readonly #inline: Page | undefined;
  readonly #place: readonly string[];

  private constructor(
    pages: PageSource,
    place: readonly string[],
    at: { root: number; sequence: bigint; inline?: Page | undefined },
  ) {
    this.#pages = pages;
    this.#place = place;
    this.#root = at.root;
    this.#inline = at.inline;
    this.sequence = at.sequence;
    if (at.inline === undefined) pages.claim(at.root, JSON.stringify(place));
  }

  static atPage(pages: PageSource, root: number): BoltBucket {
    return new BoltBucket(pages, [], { root, sequence: 0n });
  }

  /** Every key in order. Errors: dataLoss. Effects: holds one page of each level while it goes. */
  *entries(): Generator<BoltEntry> {
    let last: Uint8Array | undefined;
    for (const element of this.#leaves({ from: undefined, to: undefined })) {
      // Pages that are reached twice would show here: this bounds the walk by the file.
      if (last !== undefined && Buffer.compare(last, element.key) >= 0) throw this.#fail("keys are out of order");
      last = element.key;
      yield this.#entry(element);
    }
  }

  /** The value of a key; undefined where there is none, or a bucket. Errors: dataLoss. */
  get(key: string): Uint8Array | undefined {
    return this.#find(key)?.value;
  }

  /** The bucket below a key; undefined where there is none, or a value. Errors: dataLoss. */
  bucket(key: string): BoltBucket | undefined {
    return this.#find(key)?.bucket;
  }

  #find(name: string): BoltEntry | undefined {
    const key = Buffer.from(name);
    for (const element of this.#leaves({ from: undefined, to: undefined }, key)) {
      if (Buffer.compare(element.key, key) === 0) return this.#entry(element);
    }
    return undefined;
  }

  /** The elements of all leaves, or of the one leaf where a key would be. */
  *#leaves(range: Range, only?: Uint8Array): Generator<LeafElement> {
    if (this.#inline === undefined) yield* this.#below(this.#root, range, 0, only);
    else yield* this.#inline.kind === "leaf" ? this.#inline.elements : [];
  }

  *#below(id: number, range: Range, depth: number, only: Uint8Array | undefined): Generator<LeafElement> {
    if (depth > maxDepth) throw this.#fail(`page ${id} lies too deep`);
    const page = this.#pages.page(id, this.#root);
    if (page.elements.length === 0 && (depth > 0 || page.kind === "branch")) throw this.#fail(`page ${id} is empty`);
    if (page.kind === "leaf") {
      for (const element of page.elements) {
        if (!isWithin(element.key, range)) throw this.#fail(`page ${id} has a key that belongs to another`);
        yield element;
      }
      return;
    }
    for (const { child, below } of this.#children(id, page.elements, range)) {
      if (only === undefined || isWithin(only, below)) yield* this.#below(child, below, depth + 1, only);
    }
  }

  /** The children of a branch, and what keys each may have: a key that is smaller than all belongs to the first. */
  *#children(id: number, elements: readonly BranchElement[], range: Range): Generator<{ child: number; below: Range }> {
    for (const [index, { key, child }] of elements.entries()) {
      const next = elements[index + 1]?.key;
      if (next !== undefined && Buffer.compare(key, next) >= 0) throw this.#fail(`page ${id} is out of order`);
      yield { child, below: { from: index === 0 ? range.from : key, to: next ?? range.to } };
    }
  }

  #entry({ key, value, isBucket }: LeafElement): BoltEntry {
    if (!isBucket) return { key, value, bucket: undefined };
    return { key, value: undefined, bucket: this.#nested(key, value) };
  }

  #nested(key: Uint8Array, value: Uint8Array): BoltBucket {
    const place = [...this.#place, Buffer.from(key).toString("latin1")];
    if (place.length > maxNesting) throw this.#fail("buckets are nested too deep");
    try {
      if (value.length < bucketHeaderBytes) throw new PageError(`${value.length} bytes are no bucket`);
      const view = viewOf(value);
      const [root, sequence] = [readNumber(view, 0), view.getBigUint64(8, true)];
      if (root !== 0) return new BoltBucket(this.#pages, place, { root, sequence });
      const inline = readPage(value.subarray(bucketHeaderBytes));
      if (inline.kind !== "leaf") throw new PageError("a bucket within a value has a branch");
      return new BoltBucket(this.#pages, place, { root, sequence, inline });
    } catch (error) {
      if (error instanceof PageError) throw this.#fail(error.message);
      throw error;
    }
  }

  #fail(problem: string): FaultError {
    const place = this.#place.map((key) => JSON.stringify(Buffer.from(key, "latin1").toString())).join("/");
    return this.#pages.fail(`bucket ${place === "" ? "of all" : place}: ${problem}`);
  }
}

function isWithin(key: Uint8Array, { from, to }: Range): boolean {
  return isAtLeast(key, from) && isBefore(key, to);
}

function isAtLeast(key: Uint8Array, from: Uint8Array | undefined): boolean {
  return from === undefined || Buffer.compare(key, from) >= 0;
}

function isBefore(key: Uint8Array, to: Uint8Array | undefined): boolean {
  return to === undefined || Buffer.compare(key, to) < 0;
}
