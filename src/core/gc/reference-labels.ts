import { parseDuration } from "../../lib/duration.ts";
import type { ResourceNode } from "./gc.ts";

const prefix = "containerd.io/gc.";
const refPrefix = `${prefix}ref.`;
const backPrefix = `${prefix}bref.`;
const snapshotRef = `${refPrefix}snapshot.`;
const snapshotBack = `${backPrefix}snapshot.`;
const condSnapshot = `${prefix}cond.snapshot`;
const usedAt = `${prefix}cond.value-usedat`;

/** Labels that say something to the collector. */
export type GcLabels = readonly (readonly [string, string])[];

const none: GcLabels = [];

/** Of a row's labels those that concern the collector; text without any is not even parsed. */
export function gcLabels(text: string): GcLabels {
  if (!text.includes(prefix)) return none;
  return gcLabelsOf(Object.entries(JSON.parse(text) as Record<string, string>));
}

/** The same of labels that are there already. */
export function gcLabelsOf(labels: Iterable<readonly [string, string]>): GcLabels {
  const kept = [...labels].filter(([key]) => key.startsWith(prefix));
  return kept.length === 0 ? none : kept;
}

/** Whether a label makes its object a root. Source: containerd core/metadata/gc.go: any key that begins so. */
export function isRooted(labels: GcLabels): boolean {
  return labels.some(([key]) => key.startsWith(`${prefix}root`));
}

/** Whether a lease holds only what it names. */
export function isFlat(labels: GcLabels): boolean {
  return labels.some(([key]) => key === `${prefix}flat`);
}

/** Whether the time of an image or a lease has passed; a time that cannot be read is none. */
export function isExpired(labels: GcLabels, nowMs: number): boolean {
  const label = labels.find(([key]) => key === `${prefix}expire`);
  if (label === undefined) return false;
  const time = parseRfc3339(label[1]);
  return time !== undefined && nowMs > time;
}

/** What a label refers to; undefined for a label that is no reference. `extra`: kinds by the names that collectors gave. */
export function referenceOf(
  namespace: string,
  [key, value]: readonly [string, string],
  extra: ReadonlyMap<string, string>,
): ResourceNode | undefined {
  if (!key.startsWith(refPrefix)) return undefined;
  if (key.startsWith(snapshotRef)) return snapshotNode(namespace, key.slice(snapshotRef.length), value);
  for (const kind of ["content", "image", "mount"]) {
    if (isNamed(key, `${refPrefix}${kind}`)) return { kind, namespace, key: value };
  }
  for (const [name, kind] of extra) {
    if (isNamed(key, `${refPrefix}${name}`)) return { kind, namespace, key: value };
  }
  return undefined;
}

/** By what a label wants its object to be held: it lives as long as that does. */
export function backReferenceOf(namespace: string, [key, value]: readonly [string, string]): ResourceNode | undefined {
  if (!key.startsWith(backPrefix)) return undefined;
  if (key.startsWith(snapshotBack)) return snapshotNode(namespace, key.slice(snapshotBack.length), value);
  const kind = ["container", "content", "image"].find((one) => isNamed(key, `${backPrefix}${one}`));
  return kind === undefined ? undefined : { kind, namespace, key: value };
}

/** A snapshot that an image or content holds under conditions on when the snapshot was used. */
export interface Condition {
  readonly node: ResourceNode;
  readonly holds: (usedAtMs: number, nowMs: number) => boolean;
}

/**
 * The conditions of a label; any one of them is enough.
 * Shape: `usedat<24h,usedat>...|KEY`. Only usedat with < and > is known, as in containerd; others are passed over.
 */
export function conditionsOf(namespace: string, [key, value]: readonly [string, string]): readonly Condition[] {
  if (!key.startsWith(condSnapshot)) return [];
  const bar = value.indexOf("|");
  if (bar < 0) return [];
  const snapshotter = key.slice(condSnapshot.length).replace(/^[./]+/, "");
  const node = snapshotNode(namespace, snapshotter, value.slice(bar + 1));
  return value
    .slice(0, bar)
    .split(",")
    .flatMap((text) => {
      const match = /^usedat([<>])(.*)$/s.exec(text);
      const limitMs = match === null || match[2]?.startsWith("=") ? undefined : parseDuration(match[2] ?? "");
      if (match === null || limitMs === undefined) return [];
      const younger = match[1] === "<";
      const holds = (at: number, now: number): boolean => (younger ? now - at < limitMs : now - at > limitMs);
      return [{ node, holds }];
    });
}

/** When a snapshot says that it was used, for conditions; several labels may begin so. */
export function usedTimes(labels: GcLabels): readonly number[] {
  return labels
    .filter(([key]) => key.startsWith(usedAt))
    .map(([, value]) => parseRfc3339(value))
    .filter((time) => time !== undefined);
}

/** Names are set apart by `.` or `/`, and not looked at. */
function isNamed(key: string, base: string): boolean {
  return key.startsWith(base) && (key.length === base.length || key[base.length] === "." || key[base.length] === "/");
}

function snapshotNode(namespace: string, named: string, name: string): ResourceNode {
  const slash = named.indexOf("/");
  return { kind: "snapshot", namespace, key: `${slash < 0 ? named : named.slice(0, slash)}/${name}` };
}

const rfc3339 = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:\d\d)$/;

function parseRfc3339(text: string): number | undefined {
  if (!rfc3339.test(text)) return undefined;
  const time = Date.parse(text.replace(",", "."));
  return Number.isNaN(time) ? undefined : time;
}
