/** One number of a metric, with its labels. */
export interface Sample {
  readonly labels: readonly (readonly [name: string, value: string])[];
  readonly value: number;
  /** What follows the metric's name: `_bucket`, `_sum`, `_count`. */
  readonly suffix?: string;
}

/** A metric with all its numbers. */
export interface Family {
  readonly name: string;
  readonly help: string;
  readonly type: "counter" | "gauge" | "histogram";
  samples(): Iterable<Sample>;
}

export const contentType = "text/plain; version=0.0.4; charset=utf-8";

/** How long the event loop is kept from other work at once. */
const sliceMs = 0.5;
/** Lines are handed on in pieces of about so many characters. */
const pieceLength = 32 * 1024;

/**
 * Writes families out in Prometheus' text format, in pieces, and lets the event loop go between them.
 * Shape: a family without a number is left out, its heading too.
 * Source: prometheus/docs, instrumenting/exposition_formats.md, version 0.0.4.
 */
export async function* exposition(families: Iterable<Family>): AsyncGenerator<string, void, undefined> {
  let piece = "";
  let began = performance.now();
  for (const family of families) {
    const { name, help, type } = family;
    let isHeaded = false;
    for (const sample of family.samples()) {
      if (!isHeaded) piece += `# HELP ${name} ${escapeHelp(help)}\n# TYPE ${name} ${type}\n`;
      isHeaded = true;
      piece += `${name}${sample.suffix ?? ""}${labelText(sample.labels)} ${numberText(sample.value)}\n`;
      const isLate = performance.now() - began > sliceMs;
      if (!isLate && piece.length < pieceLength) continue;
      yield piece;
      piece = "";
      if (isLate) await nextTurn();
      began = performance.now();
    }
  }
  if (piece !== "") yield piece;
}

/** Waits until the event loop has done what else there was to do. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function labelText(labels: Sample["labels"]): string {
  if (labels.length === 0) return "";
  return `{${labels.map(([name, value]) => `${name}="${escapeLabel(value)}"`).join(",")}}`;
}

const escapeHelp = (text: string): string => text.replace(/\\/g, "\\\\").replace(/\n/g, "\\n");
const escapeLabel = (text: string): string =>
  /[\\"\n]/.test(text) ? text.replace(/\\/g, "\\\\").replace(/"/g, '\\"').replace(/\n/g, "\\n") : text;

/** As Go's client writes it. */
function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  if (value === Number.NEGATIVE_INFINITY) return "-Inf";
  return Number.isNaN(value) ? "NaN" : String(value);
}

/** A histogram's numbers, from how many fell between each bound and the one before; the last is what was above all. */
export function* histogramSamples(
  labels: Sample["labels"],
  bounds: readonly number[],
  counts: ArrayLike<number>,
  sum: number,
): Iterable<Sample> {
  let count = 0;
  for (let at = 0; at <= bounds.length; at++) {
    count += counts[at] ?? 0;
    const bound = at < bounds.length ? numberText(bounds[at]!) : "+Inf";
    yield { suffix: "_bucket", labels: [...labels, ["le", bound]], value: count };
  }
  yield { suffix: "_sum", labels, value: sum };
  yield { suffix: "_count", labels, value: count };
}
