/** How tries follow each other. */
export interface Backoff {
  readonly maxAttempts: number;
  /** The first pause; each is twice as long as the one before, less up to half of it by chance. */
  readonly baseMs: number;
  readonly longestMs: number;
}

/** Source for the count: containerd core/remotes/docker/resolver.go, maxAttempts. */
export const defaultBackoff: Backoff = { maxAttempts: 5, baseMs: 200, longestMs: 10_000 };

/** A host that asks for more patience than this is not waited for. */
export const longestRetryAfterMs = 60_000;

/** The pause before try number `attempt`, which counts from 1. */
export function pauseMs(backoff: Backoff, attempt: number): number {
  const full = Math.min(backoff.baseMs * 2 ** (attempt - 1), backoff.longestMs);
  return full * (1 - Math.random() / 2);
}

/** The wait that Retry-After asks for: seconds, or a date. */
export function retryAfterMs(header: string | null, now: number): number | undefined {
  if (header === null) return undefined;
  if (/^\d{1,9}$/.test(header.trim())) return Number(header) * 1000;
  const date = /^[A-Z][a-z]{2,8},? /.test(header) ? Date.parse(header) : Number.NaN;
  return Number.isNaN(date) ? undefined : Math.max(0, date - now);
}
