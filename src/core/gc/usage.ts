import type { Metadata, ResourceKind } from "../metadata/index.ts";
import type { Collectable, DiskUsage, HolderUsage, Resource, ResourceNode } from "./gc.ts";
import { nodeKey, type ReferenceGraph } from "./reference-graph.ts";

export interface UsageCountOptions {
  readonly graph: ReferenceGraph;
  readonly metadata: Metadata;
  readonly tables: readonly Collectable[];
  /** All of them when undefined. */
  readonly namespace: string | undefined;
  /** What the objects take that still change, by `nodeKey`. */
  readonly measured: ReadonlyMap<string, number>;
}

/** Measures all objects that still change. */
export async function measureAll(
  tables: readonly Collectable[],
  signal: AbortSignal,
  namespace: string | undefined,
): Promise<ReadonlyMap<string, number>> {
  const all = new Map<string, number>();
  for (const table of tables) {
    const sizes = (await table.measure?.(signal, namespace)) ?? [];
    for (const [name, sizeBytes] of sizes) all.set(`${table.kind}\n${name}`, sizeBytes);
  }
  return all;
}

interface Holder {
  readonly node: ResourceNode;
  readonly roots: ResourceNode[];
  sizeBytes: number;
  uniqueBytes: number;
  objects: number;
}

/** Who reaches an object: the first that does, and whether there are others. */
interface Reached {
  readonly first: Holder;
  readonly sizeBytes: number;
  shared: boolean;
}

/** Counts what everything takes on disk, and who keeps it. */
export class UsageCount {
  readonly #options: UsageCountOptions;
  readonly #holders = new Map<string, Holder>();
  readonly #reached = new Map<string, Reached>();
  readonly #kinds = new Map<ResourceKind, { objects: number; sizeBytes: number }>();
  readonly #unused = { objects: 0, sizeBytes: 0 };

  constructor(options: UsageCountOptions) {
    this.#options = options;
  }

  *steps(): Generator<void, void> {
    const { graph, namespace } = this.#options;
    yield* graph.scan((node, from) => {
      if (namespace !== undefined && node.namespace !== namespace) return;
      const holder = this.#holder(from ?? node);
      if (from !== undefined || node.kind !== "lease") holder.roots.push(node);
    });
    for (const holder of this.#holders.values()) yield* this.#follow(holder);
    for (const table of this.#options.tables) yield* this.#countTable(table);
  }

  result(): DiskUsage {
    for (const { first, sizeBytes, shared } of this.#reached.values()) if (!shared) first.uniqueBytes += sizeBytes;
    const holders: HolderUsage[] = [...this.#holders.values()].map(({ node, sizeBytes, uniqueBytes, objects }) => ({
      node,
      sizeBytes,
      uniqueBytes,
      objects,
    }));
    return {
      kinds: this.#kinds,
      unused: this.#unused,
      holders: holders.toSorted((one, other) => other.sizeBytes - one.sizeBytes),
    };
  }

  #holder(node: ResourceNode): Holder {
    const key = nodeKey(node);
    let holder = this.#holders.get(key);
    if (holder === undefined) {
      holder = { node, roots: [], sizeBytes: 0, uniqueBytes: 0, objects: 0 };
      this.#holders.set(key, holder);
    }
    return holder;
  }

  *#follow(holder: Holder): Generator<void, void> {
    const { graph, metadata } = this.#options;
    const seen = new Set<string>();
    const gray = [...holder.roots];
    for (let node = gray.pop(); node !== undefined; node = gray.pop()) {
      const key = nodeKey(node);
      if (seen.has(key)) continue;
      seen.add(key);
      const current = node;
      this.#count(holder, current, key);
      for (const edge of metadata.read((db) => graph.edges(db, current))) gray.push(edge.node);
      yield;
    }
  }

  #count(holder: Holder, node: ResourceNode, key: string): void {
    const before = this.#reached.get(key);
    const sizeBytes = before?.sizeBytes ?? this.#sizeOf(node);
    holder.sizeBytes += sizeBytes;
    holder.objects++;
    if (before === undefined) this.#reached.set(key, { first: holder, sizeBytes, shared: false });
    else before.shared = true;
  }

  #sizeOf(node: ResourceNode): number {
    const measured = this.#options.measured.get(nodeKey(node));
    if (measured !== undefined) return measured;
    const { kind, namespace, key } = node;
    const table = this.#options.tables.find((one) => one.kind === kind);
    return this.#options.metadata.read((db) => table?.sizeBytes?.(db, namespace, key)) ?? 0;
  }

  *#countTable(table: Collectable): Generator<void, void> {
    const { metadata, namespace } = this.#options;
    const total = { objects: 0, sizeBytes: 0 };
    this.#kinds.set(table.kind, total);
    let last: Resource | undefined;
    for (;;) {
      const page = metadata.read((db) => table.page(db, last, 16));
      for (const resource of page) {
        if (namespace !== undefined && resource.namespace !== namespace) continue;
        const node = { kind: table.kind, namespace: resource.namespace, key: resource.key };
        const reached = this.#reached.get(nodeKey(node));
        const sizeBytes = reached?.sizeBytes ?? this.#sizeOf(node);
        total.objects++;
        total.sizeBytes += sizeBytes;
        if (reached !== undefined || table.remove === undefined || this.#holders.has(nodeKey(node))) continue;
        this.#unused.objects++;
        this.#unused.sizeBytes += sizeBytes;
      }
      last = page.at(-1);
      if (last === undefined) return;
      yield;
    }
  }
}
