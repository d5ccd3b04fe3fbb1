import type { StoreNode } from "../client/system/store-graph.ts";
import type { ExplainResponse_Explanation, Object$ } from "../gen/lighter/system/v1/system_pb.ts";
import { objectName, shortKey } from "./object-names.ts";
import { styleOf } from "./style.ts";
import { printable } from "./table.ts";

/** What keeps an object, as lines: a path from a root down to it, in words. */
export function explanationLines({ object, path }: ExplainResponse_Explanation, color: boolean): string[] {
  const style = styleOf(color);
  const told = style.bold(nameOf(object));
  const [root] = path;
  if (root === undefined) {
    return [`${told} is kept by nothing: the next garbage collection takes it away`];
  }
  if (path.length === 1) return [`${told} ${rootWords(root.how, root.object?.kind ?? "")}`];
  return [
    `${told} is kept:`,
    `  ${nameOf(root.object)}  ${style.dim(rootWords(root.how, root.object?.kind ?? ""))}`,
    ...path.slice(1).map(({ object: held, how }, i) => {
      const last = i === path.length - 2;
      return `  ${"   ".repeat(i)}└─ ${style.dim(linkWords(how))} ${last ? style.bold(nameOf(held)) : nameOf(held)}`;
    }),
  ];
}

/** Who keeps it besides the root of the path; undefined when nobody does. */
export function othersLine(others: readonly StoreNode[]): string | undefined {
  const [first] = others;
  if (first === undefined) return undefined;
  const more = others.length - 1;
  return `  ${printable(objectName(first))} ${more === 0 ? "keeps" : `and ${more} more keep`} it too`;
}

/** What lets go of it, or does not by itself where others keep it too. */
export function releaseHint({ path }: ExplainResponse_Explanation, hasOthers: boolean): string | undefined {
  const root = path[0];
  if (root?.object === undefined) return "lighter system gc takes it away now";
  const release = releaseCommand(root.object, root.how);
  if (release === undefined) return undefined;
  if (path.length === 1 && root.object.kind === "snapshot") return `${release} removes it`;
  return hasOthers ? `${release} alone does not let go of it` : `${release} lets go of it`;
}

function releaseCommand({ kind, key }: Object$, how: string): string | undefined {
  const name = printable(shortKey(kind, key));
  switch (kind) {
    case "image":
      return `lighter image rm ${name}`;
    case "container":
      return `lighter rm ${name}`;
    case "lease":
      return `lighter lease rm ${name}`;
    case "content":
      return how === "containerd.io/gc.root" ? `lighter content label ${name} containerd.io/gc.root-` : undefined;
    case "snapshot":
      return `lighter snapshot rm ${name}`;
    default:
      return undefined;
  }
}

function nameOf(object: Object$ | undefined): string {
  return object === undefined ? "?" : printable(`${object.kind} ${shortKey(object.kind, object.key)}`);
}

function rootWords(how: string, kind: string): string {
  if (how === "active") return "is in use right now";
  if (how.startsWith("containerd.io/gc.root")) return `has the label ${how}, which keeps it until it is removed`;
  if (kind === "lease") return "is a lease, which is kept until it ends or is removed";
  if (kind === "ingest") return "is being written, or waits to be gone on with";
  return `is ${/^[aeio]/.test(kind) ? "an" : "a"} ${kind}, which is kept until it is removed`;
}

const plainWords: Readonly<Record<string, string>> = {
  target: "points at",
  parent: "stands on",
  snapshot: "has its root in",
  lease: "keeps",
  expected: "is to become",
  reference: "refers to",
};

/** What a link of the path means. */
export function linkWords(how: string): string {
  const plain = plainWords[how];
  if (plain !== undefined) return plain;
  const content = /^containerd\.io\/gc\.ref\.content\.(config|l|m)(?:\.(\d+))?$/.exec(how);
  if (content !== null) {
    if (content[1] === "config") return "has as config";
    const number = Number(content[2] ?? 0) + 1;
    return content[1] === "l" ? `has as layer ${number}` : `lists as manifest ${number}`;
  }
  if (how.startsWith("containerd.io/gc.ref.snapshot.")) return "is unpacked in";
  if (how.startsWith("containerd.io/gc.bref.")) return "is named as its keeper by";
  if (how.startsWith("containerd.io/gc.cond.")) return "needs, as it was used lately,";
  return `has in the label ${printable(how)}`;
}
