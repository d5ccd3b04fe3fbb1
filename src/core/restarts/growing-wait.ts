/** Docker's waits between restarts: doubled each time, and begun anew by a task that ran for a while. Source: moby restartmanager. */
const firstMs = 100;
const mostMs = 60_000;
const longLifeMs = 10_000;

/** The wait after one of `ms`; the first one after 0. */
export function nextWait(ms: number): number {
  return ms <= 0 ? firstMs : Math.min(2 * ms, mostMs);
}

/** So much of a wait is left to chance. */
const jitter = 0.25;

/**
 * A wait as it is waited: up to a quarter shorter, so that what ended together does not begin together.
 * Shape: `chance` is from 0 to below 1; whole milliseconds.
 */
export function spreadWait(ms: number, chance: number): number {
  return Math.round(ms * (1 - jitter * chance));
}

/** A wait that comes from elsewhere, within bounds. */
export function boundedWait(ms: number): number {
  return Math.min(Math.max(0, ms), mostMs);
}

/** Whether a task that ran so long was well: what it does next is no repetition. */
export function wasLongLife(ranMs: number): boolean {
  return ranMs >= longLifeMs;
}
