import path from "node:path";
import { importsOf, type SourceFile } from "./source-files.ts";

/** Composition and tests see all rooms; they are no part of what a room is made of. */
const exempt = /\.test\.ts$|(^|\/)(testing|test-daemon|plugin)(\.ts$|\/)/;

/**
 * Says which rooms of src/core lean on each other in a circle, by imports of types too.
 * Shape: each circle once, as the sorted names of its rooms.
 */
export function findCircles(files: readonly SourceFile[]): readonly (readonly string[])[] {
  const edges = new Map<string, Set<string>>();
  for (const { path: from, text } of files) {
    const room = roomOf(from);
    if (room === undefined || exempt.test(from)) continue;
    const others = edges.get(room) ?? new Set<string>();
    edges.set(room, others);
    for (const specifier of importsOf(text)) {
      const to = specifier.startsWith(".")
        ? roomOf(path.normalize(path.join(path.dirname(from), specifier)))
        : undefined;
      if (to !== undefined && to !== room) others.add(to);
    }
  }
  const circles = new Map<string, readonly string[]>();
  for (const room of edges.keys()) {
    const around = [...reachable(edges, room)].filter((other) => reachable(edges, other).has(room)).sort();
    if (around.length > 0) circles.set(around.join(" "), around);
  }
  return [...circles.values()];
}

/** Where one gets to from a room, the room itself only when a way leads back. */
function reachable(edges: ReadonlyMap<string, ReadonlySet<string>>, from: string): ReadonlySet<string> {
  const found = new Set<string>();
  const next = [...(edges.get(from) ?? [])];
  for (let room = next.pop(); room !== undefined; room = next.pop()) {
    if (found.has(room)) continue;
    found.add(room);
    next.push(...(edges.get(room) ?? []));
  }
  return found;
}

function roomOf(file: string): string | undefined {
  return /^src\/core\/([^/]+)\//.exec(file)?.[1];
}
