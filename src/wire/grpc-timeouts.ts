import { quote } from "../lib/faults.ts";

const unitMs: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000, m: 1, u: 1e-3, n: 1e-6 };
/** Source: gRPC over HTTP/2: at most eight digits. */
const maxDigits = 99_999_999;

/** Milliseconds of a grpc-timeout; undefined when it is malformed. */
export function parseTimeout(text: string): number | undefined {
  const match = /^(\d{1,8})([HMSmun])$/.exec(text);
  return match === null ? undefined : Number(match[1]) * unitMs[match[2]!]!;
}

/** What is wrong with a malformed grpc-timeout. Source: grpc-go internal/transport/http_util.go, decodeTimeout. */
export function timeoutProblem(text: string): string {
  if (text.length < 2) return `transport: timeout string is too short: ${quote(text)}`;
  if (text.length > 9) return `transport: timeout string is too long: ${quote(text)}`;
  if (unitMs[text.slice(-1)] === undefined) return `transport: timeout unit is not recognized: ${quote(text)}`;
  return `strconv.ParseUint: parsing ${quote(text.slice(0, -1))}: invalid syntax`;
}

/** A grpc-timeout of at least so many milliseconds. */
export function formatTimeout(timeoutMs: number): string {
  const ms = Math.max(Math.ceil(timeoutMs), 0);
  if (ms <= maxDigits) return `${ms}m`;
  const seconds = Math.ceil(ms / 1000);
  return seconds <= maxDigits ? `${seconds}S` : `${Math.min(Math.ceil(seconds / 3600), maxDigits)}H`;
}
