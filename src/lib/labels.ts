import { FaultError, invalidArgument, quote, wrapFault } from "./faults.ts";

/** The most bytes of a label's key and value together. Source: containerd pkg/labels/validate.go. */
export const labelMaxBytes = 4096;
/** How much of a key that is too long its error shows. */
const keyShownBytes = 64;

/** Labels as the API carries them. */
export type LabelRecord = Readonly<Record<string, string>>;

/** Checks a label's size. Errors: invalidArgument, with containerd's text. */
export function checkLabel(key: string, value: string): void {
  // UTF-8 takes at most 3 bytes for each UTF-16 unit: short labels need no counting.
  if ((key.length + value.length) * 3 <= labelMaxBytes) return;
  const total = Buffer.byteLength(key) + Buffer.byteLength(value);
  if (total <= labelMaxBytes) return;
  const shown = Buffer.from(key).subarray(0, keyShownBytes).toString();
  throw invalidArgument(
    `label key and value length (${total} bytes) greater than maximum size (${labelMaxBytes} bytes), key: ${shown}`,
  );
}

/** Checks every label, the failure under the given context. Errors: invalidArgument (`CONTEXT: label key and ...`). */
export function checkLabels(labels: ReadonlyMap<string, string> | LabelRecord, context: string): void {
  for (const [key, value] of labels instanceof Map ? labels : Object.entries(labels as LabelRecord)) {
    try {
      checkLabel(key, value);
    } catch (error) {
      throw wrapFault(context, error);
    }
  }
}

/**
 * Refuses a label without a key, as bolt does where containerd keeps them.
 * Errors: unknown, with bolt's text. Source: containerd core/metadata/boltutil/helpers.go, writeMap.
 */
export function requireLabelKeys(labels: ReadonlyMap<string, string> | LabelRecord): void {
  const value = labels instanceof Map ? labels.get("") : (labels as LabelRecord)[""];
  if (value === undefined || value === "") return;
  throw new FaultError("unknown", `failed to set label ""=${quote(value)}: key required`);
}

/** Labels as a Map, without those of empty value: setting a label to nothing is how clients take it away. */
export function labelMap(labels: LabelRecord): Map<string, string> {
  return new Map(Object.entries(labels).filter(([, value]) => value !== ""));
}

/** Labels as the API carries them; a key may be `__proto__`. */
export function labelRecord(labels: Iterable<readonly [string, string]>): Record<string, string> {
  return Object.fromEntries(labels);
}

/**
 * Applies one path of a field mask, `labels` or `labels.KEY`; false when the path is neither.
 * Shape: `current` is changed; an empty or missing value takes the label away.
 */
export function applyLabelPath(
  current: Map<string, string>,
  wanted: ReadonlyMap<string, string>,
  path: string,
): boolean {
  if (path === "labels") {
    current.clear();
    for (const [key, value] of wanted) if (value !== "") current.set(key, value);
    return true;
  }
  if (!path.startsWith("labels.")) return false;
  const key = path.slice("labels.".length);
  const value = wanted.get(key) ?? "";
  if (value === "") current.delete(key);
  else current.set(key, value);
  return true;
}

/** Labels as a row keeps them. */
export function labelsToText(labels: ReadonlyMap<string, string>): string {
  return labels.size === 0 ? "{}" : JSON.stringify(labelRecord(labels));
}

/** The inverse of labelsToText. */
export function labelsFromText(text: string): Map<string, string> {
  return text === "{}" ? new Map() : new Map(Object.entries(JSON.parse(text) as LabelRecord));
}
