/** Upper bounds of what durations are counted by, in seconds. Source: the buckets that Prometheus' Go client has by itself. */
export const durationBounds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10] as const;

/** Durations, counted by how long they were. One takes a hundred bytes and next to no time. */
export class Durations {
  /** How many were within each bound and not within the one before; the last for what was longer than all. */
  readonly counts: Float64Array = new Float64Array(durationBounds.length + 1);
  /** Of all, in seconds. */
  sum = 0;

  add(seconds: number): void {
    let at = 0;
    while (at < durationBounds.length && seconds > durationBounds[at]!) at++;
    this.counts[at]! += 1;
    this.sum += seconds;
  }
}
