import { nodeName, type StoreGraph, type StoreNode } from "../client/system/store-graph.ts";

/** `sha256:4f4fb700ef54`: a digest as docker shortens it. Other texts stay as they are. */
export function shortDigest(digest: string): string {
  return digest.replace(/^([a-z0-9]+:[0-9a-f]{12})[0-9a-f]{52,}$/, "$1");
}

/** An image's name as one would type it: `docker.io/library/busybox:latest` is `busybox:latest`. */
export function familiarName(name: string): string {
  return name.replace(/^docker\.io\/(?:library\/(?=[^/]+$))?/, "");
}

/** `image busybox:latest`, `lease ctr-pull`; a snapshot without its snapshotter where that says nothing. */
export function objectName({ kind, key }: Pick<StoreNode, "kind" | "key">): string {
  return `${kind} ${shortKey(kind, key)}`;
}

export function shortKey(kind: string, key: string): string {
  if (kind === "image") return familiarName(key);
  if (kind === "content") return shortDigest(key);
  if (kind !== "snapshot") return key;
  const slash = key.indexOf("/");
  const name = shortSnapshot(key.slice(slash + 1));
  return slash < 0 || key.startsWith("overlayfs/") ? name : `${key.slice(0, slash)}/${name}`;
}

/** Chain ids are shortened, also behind the words that an unpacking client puts before them. */
export function shortSnapshot(name: string): string {
  return name.replace(/([a-z0-9]+:[0-9a-f]{12})[0-9a-f]{52,}/g, "$1");
}

/** Who holds a thing, in words: `image busybox:latest and 2 more`. */
export function holdersText(holders: readonly StoreNode[] | undefined): string {
  if (holders === undefined || holders.length === 0) return "nothing";
  const order = ["container", "image", "lease"];
  const sorted = holders.toSorted((a, b) => order.indexOf(a.kind) - order.indexOf(b.kind));
  const [first] = sorted;
  if (first === undefined) return "nothing";
  const isSelf = !order.includes(first.kind);
  const told = isSelf ? "its own label" : objectName(first);
  return holders.length === 1 ? told : `${told} and ${holders.length - 1} more`;
}

/** What a blob is, by who refers to it and under which label: index, manifest, config, layer; else `blob`. */
export function blobKinds(graph: StoreGraph): ReadonlyMap<string, string> {
  const kinds = new Map<string, string>();
  const words: Readonly<Record<string, string>> = { m: "manifest", config: "config", l: "layer" };
  for (const { labels } of graph.ofKind("content")) {
    for (const [label, digest] of Object.entries(labels)) {
      const role = /^containerd\.io\/gc\.ref\.content\.(m|l|config)\b/.exec(label)?.[1];
      if (role !== undefined) kinds.set(digest, words[role] ?? "blob");
    }
  }
  for (const image of graph.ofKind("image")) {
    for (const name of image.holds) {
      const node = graph.nodes.get(name);
      if (node?.kind !== "content" || kinds.has(node.key)) continue;
      const isIndex = Object.keys(node.labels).some((label) => label.startsWith("containerd.io/gc.ref.content.m."));
      kinds.set(node.key, isIndex ? "index" : "manifest");
    }
  }
  return kinds;
}

/** The holders of one thing. */
export function holdersOf(
  holders: ReadonlyMap<string, readonly StoreNode[]>,
  node: Pick<StoreNode, "kind" | "key">,
): readonly StoreNode[] {
  return holders.get(nodeName(node.kind, node.key)) ?? [];
}
