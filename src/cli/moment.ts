import { UsageError } from "./usage-error.ts";

/** Go's units. Source: Go's time.ParseDuration. */
const units: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  ms: 1,
  s: 1000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * A moment as docker's --since and --until take it, in milliseconds since the epoch.
 * Shape: a duration before now (`10m`, `1h30m`), seconds since the epoch, or a date or time of RFC 3339; one without a zone is
 * this machine's.
 * Errors: UsageError.
 */
export function parseMoment(text: string, option: string, now: number): number {
  const moment = duration(text, now) ?? timestamp(text) ?? date(text);
  if (moment !== undefined) return moment;
  throw new UsageError(
    `option ${option}: ${JSON.stringify(text)} is not a time`,
    "write it as 10m or 1h30m (so long ago), or as 2026-01-31T15:04:05Z",
  );
}

function duration(text: string, now: number): number | undefined {
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ns|us|µs|ms|s|m|h)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text.replace(/^-/, "")) return undefined;
  const span = parts.reduce((sum, [, count, unit]) => sum + Number(count) * (units[unit ?? ""] ?? 0), 0);
  return text.startsWith("-") ? now + span : now - span;
}

function timestamp(text: string): number | undefined {
  return /^[0-9]+(\.[0-9]+)?$/.test(text) ? Number(text) * 1000 : undefined;
}

function date(text: string): number | undefined {
  const match = /^(\d{4}-\d\d-\d\d)(?:T(\d\d(?::\d\d(?::\d\d(?:\.\d+)?)?)?)?(Z|[+-]\d\d:\d\d)?)?$/.exec(text);
  if (match === null) return undefined;
  const [, day = "", time = "00", zone = ""] = match;
  const clock = [...time.split(":"), "00", "00"].slice(0, 3).join(":");
  const moment = Date.parse(`${day}T${clock}${zone}`);
  return Number.isNaN(moment) ? undefined : moment;
}
