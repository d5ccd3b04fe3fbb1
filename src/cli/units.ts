import { UsageError } from "./usage-error.ts";

const scale: Readonly<Record<string, number>> = { "": 1, b: 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3, t: 1024 ** 4 };

/** A size as people write it: `512m`, `1.5g`, `64MiB`, `1048576`. Errors: UsageError. */
export function parseSize(text: string, option: string): number {
  const match = /^([0-9]+(?:\.[0-9]+)?)\s*([bkmgt]?)(?:i?b)?$/i.exec(text.trim());
  const bytes = match === null ? Number.NaN : Number(match[1]) * (scale[(match[2] ?? "").toLowerCase()] ?? Number.NaN);
  if (!Number.isFinite(bytes) || bytes <= 0 || bytes > Number.MAX_SAFE_INTEGER) {
    throw new UsageError(
      `option ${option}: ${JSON.stringify(text)} is not a size`,
      "write it as 512m, 2g or a number of bytes",
    );
  }
  return Math.floor(bytes);
}

/** A positive number, with or without a fraction. Errors: UsageError. */
export function parsePositive(text: string, option: string): number {
  const number = /^(?:[0-9]+\.?[0-9]*|\.[0-9]+)$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isFinite(number) || number <= 0) {
    throw new UsageError(`option ${option}: ${JSON.stringify(text)} is not a number above 0`);
  }
  return number;
}

/** A whole number of at least `least`. Errors: UsageError. */
export function parseWhole(text: string, option: string, least = 0): number {
  const number = /^-?[0-9]+$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(number) || number < least) {
    throw new UsageError(`option ${option}: ${JSON.stringify(text)} is not a whole number of at least ${least}`);
  }
  return number;
}

/** Bytes as a person reads them: 4 significant characters and a unit of 1024. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB", "PiB"];
  let value = bytes;
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1024;
    unit++;
  }
  const digits = unit === 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

/** A span of time in its largest unit or two: `3 seconds`, `5 minutes`, `2 hours`, `4 days`. */
export function formatSpan(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  if (seconds < 1) return "less than a second";
  const units: readonly (readonly [number, string])[] = [
    [86_400 * 365, "year"],
    [86_400 * 30, "month"],
    [86_400 * 7, "week"],
    [86_400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  for (const [size, name] of units) {
    const count = Math.floor(seconds / size);
    if (count >= 1) return plural(count, name);
  }
  return "less than a second";
}

export function plural(count: number, word: string): string {
  return `${count} ${word}${count === 1 ? "" : "s"}`;
}

/** A moment in the past as `5 minutes ago`. */
export function formatAgo(at: Date, now: Date): string {
  return `${formatSpan(now.getTime() - at.getTime())} ago`;
}

/** A duration as `10s`, `5m`, `1h30m`, in milliseconds. Errors: UsageError. */
export function parseDuration(text: string, option: string): number {
  if (/^[0-9]+(?:\.[0-9]+)?$/.test(text)) return Number(text) * 1000;
  const size: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };
  const parts = [...text.matchAll(/([0-9]+(?:\.[0-9]+)?)(ms|s|m|h|d)/g)];
  if (parts.length === 0 || parts.map(([part]) => part).join("") !== text) {
    throw new UsageError(`option ${option}: ${JSON.stringify(text)} is not a duration`, "write it as 10s, 5m or 1h30m");
  }
  return parts.reduce((sum, [, count, unit]) => sum + Number(count) * (size[unit ?? ""] ?? 0), 0);
}
