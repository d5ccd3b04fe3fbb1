import type { Database } from "bun:sqlite";
import type { CollectableRows, Edge, Resource, ResourceNode } from "./gc.ts";
import type { Marking } from "./marking.ts";
import type { ReferenceGraph } from "./reference-graph.ts";

/**
 * What a process that marks tells, a line each: first what the daemon needs to know of the living, then that all is marked and
 * the file is no longer read, then what is dead, what refers before what is referred to.
 */
export type MarkLine =
  /** Leases that count, where objects without rows may be leased: namespace and id. */
  | { readonly leases: readonly (readonly [string, string])[] }
  /** Objects without rows that are held by labels. */
  | { readonly reached: readonly ResourceNode[] }
  /** What an object would hold from its far end if it came to life again, by `nodeKey`. */
  | { readonly behind: readonly (readonly [string, readonly Edge[]])[] }
  | { readonly marked: { readonly alive: number; readonly elapsedMs: number } }
  | { readonly dead: { readonly kind: string; readonly namespace: string; readonly keys: readonly string[] } };

/** How much a line holds: what is read in a small part of a slice. */
const perLine = 32;
const pageRows = 256;

export interface ReportOptions {
  readonly db: Database;
  readonly tables: readonly CollectableRows[];
  readonly graph: ReferenceGraph;
  /** Done. */
  readonly marking: Marking;
  /** Kinds of objects without rows. */
  readonly extraKinds: readonly string[];
}

/** What is to be told before `marked`, but for that. */
export function* tellLiving({ graph, marking, extraKinds }: ReportOptions): Generator<MarkLine> {
  if (extraKinds.length > 0) {
    for (const leases of parts([...graph.leases()])) yield { leases };
    for (const reached of parts(extraKinds.flatMap((kind) => [...marking.ofKind(kind)]))) yield { reached };
  }
  for (const behind of parts(graph.heldBehind((node) => marking.isFull(node)))) yield { behind };
}

/** Reads what is dead, of every kind; the answer needs the file no more. */
export function findDead({ db, tables, marking }: ReportOptions): readonly MarkLine[] {
  return tables.flatMap((table) => {
    const dead: Resource[] = [];
    for (let last: Resource | undefined; ; ) {
      const page = table.page(db, last, pageRows);
      for (const resource of page) {
        if (!marking.isAlive({ kind: table.kind, namespace: resource.namespace, key: resource.key }))
          dead.push(resource);
      }
      last = page.at(-1);
      if (last === undefined) break;
    }
    return [...deadLines(table.kind, holdersFirst(table.kind, dead))];
  });
}

function* deadLines(kind: string, dead: readonly Resource[]): Generator<MarkLine> {
  for (let at = 0; at < dead.length; ) {
    const namespace = dead[at]?.namespace ?? "";
    const keys: string[] = [];
    for (; keys.length < perLine && dead[at]?.namespace === namespace; at++) keys.push(dead[at]?.key ?? "");
    yield { dead: { kind, namespace, keys } };
  }
}

/** In their order, but those that hold others of their kind before these: children before parents. */
function holdersFirst(kind: string, dead: readonly Resource[]): readonly Resource[] {
  const name = (namespace: string, key: string): string => `${namespace}\n${key}`;
  const held = new Map<string, number>();
  const heldBy = ({ holds }: Resource): readonly string[] =>
    holds.filter(({ node }) => node.kind === kind).map(({ node }) => name(node.namespace, node.key));
  for (const one of dead) for (const other of heldBy(one)) held.set(other, (held.get(other) ?? 0) + 1);
  if (held.size === 0) return dead;
  const byName = new Map(dead.map((one) => [name(one.namespace, one.key), one]));
  const order: Resource[] = [];
  for (const first of dead) {
    if (held.has(name(first.namespace, first.key))) continue;
    const free = [first];
    for (let one = free.pop(); one !== undefined; one = free.pop()) {
      order.push(one);
      for (const other of heldBy(one)) {
        const left = (held.get(other) ?? 0) - 1;
        held.set(other, left);
        const resource = byName.get(other);
        if (left === 0 && resource !== undefined) free.push(resource);
      }
    }
  }
  return order;
}

function* parts<T>(all: readonly T[]): Generator<readonly T[]> {
  for (let at = 0; at < all.length; at += perLine) yield all.slice(at, at + perLine);
}
