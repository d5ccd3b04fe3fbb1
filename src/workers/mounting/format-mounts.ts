import { FaultError } from "../../lib/faults.ts";
import type { MountRequest } from "../../sys/index.ts";

/** What templates can refer to of the mounts before. */
export interface MountedBefore extends MountRequest {
  readonly mountPoint: string;
}

/** `{{ name 1 2 }}`. Source: Go, text/template. */
const action = /\{\{\s*([A-Za-z_]\w*)((?:\s+[+-]?\w+)*)\s*\}\}/g;

/**
 * Fills in templates in source, target and options: `source N`, `target N`, `mount N` of a mount before, and `overlay N M`, the
 * mount points from one to another, joined for overlay.
 * Errors: unknown, for anything else that begins like a template.
 * Source: containerd core/mount/manager/format.go; of its templates' language these calls are taken, and no other.
 */
export function formatMount(request: MountRequest, before: readonly MountedBefore[]): MountRequest {
  const { type, source, target, options } = request;
  const fill = (text: string): string => formatText(text, before);
  return { type, source: fill(source), target: fill(target), options: options.map(fill) };
}

function formatText(text: string, before: readonly MountedBefore[]): string {
  if (!text.includes("{{")) return text;
  // These marks take white space away on their side.
  const trimmed = text.replace(/\s*\{\{-\s/g, "{{ ").replace(/\s-\}\}\s*/g, " }}");
  const literals = trimmed.split(action).filter((_part, at) => at % 3 === 0);
  if (literals.some((literal) => literal.includes("{{"))) {
    throw new FaultError("unknown", `template: ${JSON.stringify(text)}: not understood`);
  }
  return trimmed.replace(action, (_all, name: string, words: string) => call(name, words.trim().split(/\s+/), before));
}

function call(name: string, words: readonly string[], before: readonly MountedBefore[]): string {
  const numbers = words.filter((word) => word !== "").map(parseInteger);
  const [first = 0, second = 0] = numbers;
  switch (name) {
    case "source":
      return one(name, numbers, before).source;
    case "target":
      return one(name, numbers, before).target;
    case "mount":
      return one(name, numbers, before).mountPoint;
    case "overlay":
      if (numbers.length !== 2) throw wrongCount(name, 2, numbers.length);
      return overlay(first, second, before).join(":");
    default:
      throw new FaultError("unknown", `template: :1: function ${JSON.stringify(name)} not defined`);
  }
}

function one(name: string, numbers: readonly number[], before: readonly MountedBefore[]): MountedBefore {
  const [index = 0] = numbers;
  if (numbers.length !== 1) throw wrongCount(name, 1, numbers.length);
  const found = before[index];
  if (found === undefined) {
    throw new FaultError("unknown", `index out of bounds: ${index}, has ${before.length} active mounts`);
  }
  return found;
}

function overlay(start: number, end: number, before: readonly MountedBefore[]): readonly string[] {
  const [low, high] = [Math.min(start, end), Math.max(start, end)];
  if (low < 0 || high >= before.length) {
    throw new FaultError("unknown", `invalid range: ${start}-${end}, has ${before.length} active mounts`);
  }
  const points = before.slice(low, high + 1).map(({ mountPoint }) => mountPoint);
  return start > end ? points.toReversed() : points;
}

function parseInteger(word: string): number {
  if (!/^[+-]?\d{1,9}$/.test(word)) throw new FaultError("unknown", `template: :1: expected integer; found ${word}`);
  return Number(word);
}

function wrongCount(name: string, want: number, got: number): FaultError {
  return new FaultError("unknown", `template: :1: wrong number of args for ${name}: want ${want} got ${got}`);
}
