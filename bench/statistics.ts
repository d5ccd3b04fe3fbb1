/** What repeated measurements of one thing say. */
export interface Summary {
  readonly median: number;
  readonly low: number;
  readonly high: number;
  readonly count: number;
}

/** Sums measurements up. Errors: when there are none. */
export function summarize(values: readonly number[]): Summary {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle];
  if (upper === undefined) throw new Error("nothing was measured");
  const median = sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
  return { median, low: sorted[0] ?? upper, high: sorted.at(-1) ?? upper, count: sorted.length };
}

/** The median of pairwise ratios: each pair was measured in turn, so what the machine did at that time cancels out. */
export function pairedRatio(ours: readonly number[], theirs: readonly number[]): number {
  return summarize(ours.slice(0, theirs.length).map((value, index) => value / (theirs[index] ?? Number.NaN))).median;
}

/** A number with three significant digits, as a table shows it. */
export function short(value: number): string {
  if (value === 0) return "0";
  const digits = Math.max(0, 2 - Math.floor(Math.log10(Math.abs(value))));
  return value.toFixed(Math.min(digits, 2));
}
