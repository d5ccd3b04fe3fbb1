import { type NodeKind, nodeName } from "./store-graph.ts";

const prefix = "containerd.io/gc.";

/** What an object's labels say that it holds. Source: containerd core/metadata/gc.go. */
export function heldByLabels(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels).flatMap(([key, value]) => named(`${prefix}ref.`, key, value) ?? []);
}

/** What an object's labels say that it is held by. */
export function holdersByLabels(labels: Readonly<Record<string, string>>): string[] {
  return Object.entries(labels).flatMap(([key, value]) => named(`${prefix}bref.`, key, value) ?? []);
}

export function isRooted(labels: Readonly<Record<string, string>>): boolean {
  return Object.keys(labels).some((key) => key.startsWith(`${prefix}root`));
}

export function isFlat(labels: Readonly<Record<string, string>>): boolean {
  return `${prefix}flat` in labels;
}

/** When an image or a lease ends by itself. */
export function expiryOf(labels: Readonly<Record<string, string>>): Date | undefined {
  const text = labels[`${prefix}expire`];
  const at = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(at) ? undefined : new Date(at);
}

function named(start: string, key: string, value: string): string | undefined {
  if (!key.startsWith(start)) return undefined;
  const rest = key.slice(start.length);
  const snapshotter = /^snapshot\.([^/]+)/.exec(rest)?.[1];
  if (snapshotter !== undefined) return nodeName("snapshot", `${snapshotter}/${value}`);
  const kind = /^(content|image|container)(?:[./]|$)/.exec(rest)?.[1];
  return kind === undefined ? undefined : nodeName(kind as NodeKind, value);
}
