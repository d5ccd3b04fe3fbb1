import type { Database } from "bun:sqlite";
import type { Metadata } from "../metadata/index.ts";
import type { Collectable, Edge, Holding, Resource, ResourceCollector, ResourceNode } from "./gc.ts";
import {
  backReferenceOf,
  type Condition,
  conditionsOf,
  isExpired,
  isFlat,
  isRooted,
  referenceOf,
  usedTimes,
} from "./reference-labels.ts";

/** How many rows a step reads: what takes a small part of a slice. */
const pageRows = 24;

const selfExpiring: ReadonlySet<string> = new Set(["image", "lease"]);
const selfRooting: ReadonlySet<string> = new Set(["content", "snapshot"]);
const noEdges: readonly Edge[] = [];

export interface ReferenceGraphOptions {
  readonly metadata: Metadata;
  readonly tables: readonly Collectable[];
  readonly collectors: Iterable<ResourceCollector>;
  readonly nowMs: number;
}

/** Called for each object that is alive by itself, and for each that a lease holds. */
export type RootSink = (node: ResourceNode, from: ResourceNode | undefined, how: string) => void;

/**
 * What holds what, at one time. `scan` comes first: it finds the roots and the edges that stand at their far end
 * (back references, conditions); then `edges` tells what an object holds.
 * Source: containerd core/metadata/gc.go, scanRoots and references.
 */
export class ReferenceGraph {
  readonly #metadata: Metadata;
  readonly #tables: ReadonlyMap<string, Collectable>;
  readonly #collectors: ReadonlyMap<string, ResourceCollector>;
  readonly #extraLabels: ReadonlyMap<string, string>;
  readonly #nowMs: number;
  readonly #backEdges = new Map<string, Edge[]>();
  readonly #conditions = new Map<string, { readonly from: ResourceNode; readonly condition: Condition }[]>();
  readonly #usedTimes = new Map<string, readonly number[]>();
  /** Leases whose time has not passed, and whether they hold flatly. */
  readonly #leases = new Map<string, boolean>();

  constructor(options: ReferenceGraphOptions) {
    this.#metadata = options.metadata;
    this.#tables = new Map(options.tables.map((table) => [table.kind, table]));
    const collectors = [...options.collectors];
    this.#collectors = new Map(collectors.map((collector) => [collector.kind, collector]));
    this.#extraLabels = new Map(
      collectors.flatMap(({ referenceLabel, kind }) => (referenceLabel === undefined ? [] : [[referenceLabel, kind]])),
    );
    this.#nowMs = options.nowMs;
  }

  /** Finds the roots, a step at a time. */
  *scan(sink: RootSink): Generator<void, void> {
    for (const table of this.#tables.values()) yield* this.#scanTable(table, sink);
    for (const table of this.#tables.values()) {
      if (table.holdings !== undefined) yield* this.#scanHoldings(table, sink);
    }
    for (const collector of this.#collectors.values()) {
      for (const node of collector.active()) sink(node, undefined, "active");
      yield;
    }
    this.#weighConditions();
  }

  /** What an object holds; nothing when it is not there. */
  edges(db: Database, node: ResourceNode): readonly Edge[] {
    const back = this.#backEdges.size === 0 ? undefined : this.#backEdges.get(nodeKey(node));
    const own = this.#ownEdges(db, node);
    return back === undefined || node.flat === true ? own : [...back, ...own];
  }

  /**
   * What an object holds that was made or changed after the scan: its conditions and its back references count at once.
   * A lease's holdings are nodes of their own then.
   */
  freshEdges(db: Database, node: ResourceNode): readonly Edge[] {
    const resource = this.#find(db, node);
    if (resource === undefined) return this.edges(db, node);
    const conditional = resource.labels.flatMap(([key, value]) =>
      conditionsOf(node.namespace, [key, value])
        .filter((condition) => this.#isMet(db, condition))
        .map((condition): Edge => ({ node: condition.node, how: key })),
    );
    return [...this.edges(db, node), ...conditional];
  }

  exists(db: Database, node: ResourceNode): boolean {
    if (this.#find(db, node) !== undefined) return true;
    const collector = this.#collectors.get(node.kind);
    return collector !== undefined && [...collector.all()].some((one) => nodeKey(one) === nodeKey(node));
  }

  #ownEdges(db: Database, node: ResourceNode): readonly Edge[] {
    const resource = this.#find(db, node);
    if (resource === undefined) return this.#collectorEdges(node);
    const { labels, holds } = resource;
    if (node.flat === true) return holds.map(({ node: held, how }) => ({ node: { ...held, flat: true }, how }));
    if (labels.length === 0) return holds;
    const edges = [...holds];
    for (const label of labels) {
      const held = referenceOf(node.namespace, label, this.#extraLabels);
      if (held !== undefined) edges.push({ node: held, how: label[0] });
    }
    return edges;
  }

  #collectorEdges(node: ResourceNode): readonly Edge[] {
    const references = this.#collectors.get(node.kind)?.references?.(node);
    return references === undefined ? noEdges : [...references].map((held) => ({ node: held, how: "reference" }));
  }

  #find(db: Database, { kind, namespace, key }: ResourceNode): Resource | undefined {
    return this.#tables.get(kind)?.find(db, namespace, key);
  }

  *#scanTable(table: Collectable, sink: RootSink): Generator<void, void> {
    let last: Resource | undefined;
    for (;;) {
      const page = this.#metadata.read((db) => table.page(db, last, pageRows));
      for (const resource of page) this.#scanResource(table.kind, resource, sink);
      last = page.at(-1);
      if (last === undefined || page.length < pageRows) return;
      yield;
    }
  }

  #scanResource(kind: string, resource: Resource, sink: RootSink): void {
    const { namespace, key, labels, root } = resource;
    const node: ResourceNode = { kind, namespace, key };
    const expired = labels.length > 0 && selfExpiring.has(kind) && isExpired(labels, this.#nowMs);
    if (root && !expired) {
      sink(node, undefined, "root");
      if (kind === "lease") this.#leases.set(leaseKey(namespace, key), isFlat(labels));
    }
    if (labels.length === 0) return;
    if (selfRooting.has(kind) && isRooted(labels)) sink(node, undefined, "containerd.io/gc.root");
    for (const label of labels) this.#scanLabel(node, label);
    if (kind === "snapshot") {
      const times = usedTimes(labels);
      if (times.length > 0) this.#usedTimes.set(nodeKey(node), times);
    }
  }

  #scanLabel(node: ResourceNode, label: readonly [string, string]): void {
    const holder = node.kind === "lease" ? undefined : backReferenceOf(node.namespace, label);
    if (holder !== undefined) append(this.#backEdges, nodeKey(holder), { node, how: label[0] });
    if (node.kind !== "image" && node.kind !== "content") return;
    for (const condition of conditionsOf(node.namespace, label)) {
      append(this.#conditions, nodeKey(condition.node), { from: node, condition });
    }
  }

  *#scanHoldings(table: Collectable, sink: RootSink): Generator<void, void> {
    let last: Holding | undefined;
    for (;;) {
      const page = this.#metadata.read((db) => table.holdings?.(db, last, pageRows)) ?? [];
      for (const { namespace, holder, node } of page) {
        const flat = this.#leases.get(leaseKey(namespace, holder));
        if (flat === undefined) continue;
        sink(flat ? { ...node, flat } : node, { kind: "lease", namespace, key: holder }, "lease");
      }
      last = page.at(-1);
      if (last === undefined || page.length < pageRows) break;
      yield;
    }
    for (const name of this.#leases.keys()) {
      const [namespace = "", lease = ""] = name.split("\n");
      for (const collector of this.#collectors.values()) {
        for (const node of collector.leased(namespace, lease))
          sink(node, { kind: "lease", namespace, key: lease }, "lease");
      }
    }
  }

  /** Conditions are weighed when every value is known; one that is met is an edge like another. */
  #weighConditions(): void {
    for (const [key, all] of this.#conditions) {
      const times = this.#usedTimes.get(key) ?? [];
      for (const { from, condition } of all) {
        if (times.some((time) => condition.holds(time, this.#nowMs))) {
          append(this.#backEdges, nodeKey(from), { node: condition.node, how: "containerd.io/gc.cond.snapshot" });
        }
      }
    }
  }

  #isMet(db: Database, { node, holds }: Condition): boolean {
    const labels = this.#find(db, node)?.labels ?? [];
    return usedTimes(labels).some((time) => holds(time, this.#nowMs));
  }
}

/** A node's name in maps. */
export function nodeKey({ kind, namespace, key }: ResourceNode): string {
  return `${kind}\n${namespace}\n${key}`;
}

function leaseKey(namespace: string, id: string): string {
  return `${namespace}\n${id}`;
}

function append<T>(map: Map<string, T[]>, key: string, item: T): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [item]);
  else list.push(item);
}
