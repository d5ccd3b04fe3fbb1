/** What a namespace has. */
export type NodeKind = "image" | "container" | "lease" | "content" | "ingest" | "snapshot";

/** One object, with what it holds. */
export interface StoreNode {
  readonly kind: NodeKind;
  /** A name, id, digest or ref; for a snapshot `<snapshotter>/<key>`. */
  readonly key: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
  readonly labels: Readonly<Record<string, string>>;
  /** Names of nodes that it keeps alive. */
  readonly holds: readonly string[];
  /** Alive by itself. */
  readonly root: boolean;
  /** Keeps only what it names, not what that refers to. */
  readonly flat?: boolean | undefined;
}

/** A node's name in a graph. */
export function nodeName(kind: NodeKind, key: string): string {
  return `${kind} ${key}`;
}

/**
 * What holds what in one namespace, as garbage collection sees it: images their content, content what its labels name,
 * snapshots their parents, containers their snapshots, leases what was added to them.
 * Source: containerd core/metadata/gc.go. Conditions on when a snapshot was used are not known to clients.
 */
export class StoreGraph {
  readonly nodes: ReadonlyMap<string, StoreNode>;

  constructor(nodes: Iterable<StoreNode>) {
    this.nodes = new Map([...nodes].map((node) => [nodeName(node.kind, node.key), node]));
  }

  ofKind(kind: NodeKind): StoreNode[] {
    return [...this.nodes.values()].filter((node) => node.kind === kind);
  }

  roots(): StoreNode[] {
    return [...this.nodes.values()].filter(({ root }) => root);
  }

  /** Everything that these nodes hold, themselves included. */
  closure(from: Iterable<StoreNode>): Set<string> {
    const seen = new Set<string>();
    const waiting = [...from].map(({ kind, key }) => nodeName(kind, key));
    for (let name = waiting.pop(); name !== undefined; name = waiting.pop()) {
      const node = this.nodes.get(name);
      if (node === undefined || seen.has(name)) continue;
      seen.add(name);
      if (node.flat === true) for (const held of node.holds) seen.add(held);
      else waiting.push(...node.holds);
    }
    return seen;
  }

  /** What nothing would hold any more if these were removed, themselves included; what nothing holds now is not part of it. */
  freedBy(removed: readonly StoreNode[]): StoreNode[] {
    const gone = new Set(removed);
    const before = this.closure(this.roots());
    const after = this.closure(this.roots().filter((root) => !gone.has(root)));
    return this.#named([...before].filter((name) => !after.has(name)));
  }

  /** What nothing holds: the next collection takes it away. */
  unused(): StoreNode[] {
    const alive = this.closure(this.roots());
    return this.#named([...this.nodes.keys()].filter((name) => !alive.has(name)));
  }

  /** For each node the roots that hold it. */
  holders(): ReadonlyMap<string, readonly StoreNode[]> {
    const holders = new Map<string, StoreNode[]>();
    for (const root of this.roots()) {
      for (const name of this.closure([root])) {
        const list = holders.get(name);
        if (list === undefined) holders.set(name, [root]);
        else list.push(root);
      }
    }
    return holders;
  }

  /** What some nodes take on disk. */
  sizeOf(names: Iterable<string>): number {
    let sum = 0;
    for (const name of names) sum += this.nodes.get(name)?.sizeBytes ?? 0;
    return sum;
  }

  #named(names: readonly string[]): StoreNode[] {
    return names.flatMap((name) => this.nodes.get(name) ?? []);
  }
}

export function sizeOfNodes(nodes: readonly StoreNode[]): number {
  return nodes.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
}
