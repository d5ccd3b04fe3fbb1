import type { Database } from "bun:sqlite";
import type { Metadata, ResourceKind } from "../metadata/index.ts";
import type { ResourceNode } from "./gc.ts";
import type { ReferenceGraph } from "./reference-graph.ts";

const full = 2;
const flatly = 1;

/**
 * Which objects are alive. While it grows, others may change what it reads: what is made, changed or newly referred to is
 * alive for this time, with all that it holds, so that nothing alive is ever missed.
 */
export class Marking {
  readonly #graph: ReferenceGraph;
  readonly #metadata: Metadata;
  /** By kind and namespace, so that a key is kept as it came. */
  readonly #marks = new Map<string, Map<string, number>>();
  readonly #gray: ResourceNode[] = [];
  readonly #touched: ResourceNode[] = [];
  #count = 0;

  constructor(graph: ReferenceGraph, metadata: Metadata) {
    this.#graph = graph;
    this.#metadata = metadata;
  }

  /** How many objects are alive. */
  get count(): number {
    return this.#count;
  }

  /** Finds all that is alive, a step at a time. */
  *steps(): Generator<void, void> {
    yield* this.#graph.scan((node) => this.#reach(node));
    yield* this.drain();
  }

  /** Follows what was reached and touched since, a step at a time. */
  *drain(): Generator<void, void> {
    while (this.#gray.length + this.#touched.length > 0) {
      this.#metadata.read((db) => this.#step(db));
      yield;
    }
  }

  /** The same at once; false when there was more than `limit` allows. */
  settle(db: Database, limit: number): boolean {
    for (let steps = 0; this.#gray.length + this.#touched.length > 0; steps++) {
      if (steps === limit) return false;
      this.#step(db);
    }
    return true;
  }

  touch(kind: ResourceKind, namespace: string, key: string): void {
    this.#touched.push({ kind, namespace, key });
  }

  isAlive({ kind, namespace, key }: ResourceNode): boolean {
    return this.#marks.get(`${kind}\n${namespace}`)?.has(key) === true;
  }

  #step(db: Database): void {
    const fresh = this.#touched.pop();
    const node = fresh ?? this.#gray.pop();
    if (node === undefined) return;
    if (fresh !== undefined) this.#reach(fresh);
    const edges = fresh === undefined ? this.#graph.edges(db, node) : this.#graph.freshEdges(db, node);
    for (const edge of edges) this.#reach(edge.node);
  }

  #reach(node: ResourceNode): void {
    const { kind, namespace, key, flat } = node;
    const home = `${kind}\n${namespace}`;
    let keys = this.#marks.get(home);
    if (keys === undefined) this.#marks.set(home, (keys = new Map()));
    const before = keys.get(key);
    const mark = flat === true ? flatly : full;
    if (before !== undefined && before >= mark) return;
    keys.set(key, mark);
    if (before === undefined) this.#count++;
    this.#gray.push(node);
  }
}
