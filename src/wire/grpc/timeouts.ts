const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
/** Source: gRPC over HTTP/2: at most eight digits. */
const maxDigits = 99_999_999;

/** Milliseconds of a grpc-timeout; undefined when it is malformed. */
export function parseTimeout(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * unitMs[match[2]!]!;
}

/** A grpc-timeout of at least so many milliseconds. */
export function formatTimeout(timeoutMs: number): string {
  const ms = Math.max(Math.ceil(timeoutMs), 0);
  if (ms <= maxDigits) return `${ms}m`;
  const seconds = Math.ceil(ms / 1000);
  return seconds <= maxDigits ? `${seconds}S` : `${Math.min(Math.ceil(seconds / 3600), maxDigits)}H`;
}
