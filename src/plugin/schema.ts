import { formatDuration, parseDuration } from "../lib/duration.ts";
import { quote } from "../lib/faults.ts";

/** Where a key stands: from the top of the document to it. */
export type ConfigPath = readonly (string | number)[];

/** Where a decoder says what it found wrong. It goes on after each, so that a person sees all of it at once. */
export interface ConfigReport {
  /** A key that nothing reads. */
  unknown(path: ConfigPath, known: readonly string[]): void;
  /** A value that cannot be used; `example` is one that can, as TOML writes it. */
  invalid(path: ConfigPath, expected: string, got: unknown, example?: string): void;
}

/** How one value of a configuration is read. `decode(undefined)` is its default. */
export interface ConfigSchema<T> {
  /** For messages: "a string", "a list of strings". */
  readonly expects: string;
  decode(value: unknown, path: ConfigPath, report: ConfigReport): T;
  /** The value as TOML writes it; undefined leaves it out. */
  encode(value: T): unknown;
}

interface LeafOptions<T> {
  readonly expects: string;
  readonly example: string;
  readonly fallback: T;
  /** Undefined where the value cannot be used. */
  readonly take: (value: unknown) => T | undefined;
  readonly encode?: (value: T) => unknown;
}

/** A single value: its default when it is absent, and after reporting when it is wrong. */
export function leaf<T>({
  expects,
  example,
  fallback,
  take,
  encode = (value) => value,
}: LeafOptions<T>): ConfigSchema<T> {
  return {
    expects,
    encode,
    decode: (value, path, report) => {
      if (value === undefined) return fallback;
      const taken = take(value);
      if (taken !== undefined) return taken;
      report.invalid(path, expects, value, example);
      return fallback;
    },
  };
}

/** A text; `example` is for who wrote something else there. */
export const text = (fallback = "", example: string = fallback || "some text"): ConfigSchema<string> =>
  leaf({
    expects: "a string",
    example: quote(example),
    fallback,
    take: (value) => (typeof value === "string" ? value : undefined),
  });

export const flag = (fallback = false): ConfigSchema<boolean> =>
  leaf({
    expects: "true or false",
    example: String(fallback),
    fallback,
    take: (value) => (typeof value === "boolean" ? value : undefined),
  });

/** A whole number within bounds, both included. */
export const integer = (
  fallback = 0,
  min: number = Number.MIN_SAFE_INTEGER,
  max: number = Number.MAX_SAFE_INTEGER,
): ConfigSchema<number> =>
  leaf({
    expects: integerOf(min, max),
    example: String(fallback),
    fallback,
    take: (value) =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= min && value <= max ? value : undefined,
  });

function integerOf(min: number, max: number): string {
  if (max !== Number.MAX_SAFE_INTEGER) return `an integer from ${min} to ${max}`;
  return min === Number.MIN_SAFE_INTEGER ? "an integer" : `an integer of at least ${min}`;
}

const largestSize = 2 ** 31 - 1;

/** A number of bytes that a message or a buffer may have; 0 stands for the default. */
export const sizeBytes = (fallback: number): ConfigSchema<number> =>
  leaf({
    expects: `a size in bytes, from 0 to ${largestSize}`,
    example: String(fallback),
    fallback,
    take: (value) =>
      typeof value === "number" && Number.isSafeInteger(value) && value >= 0 && value <= largestSize
        ? value
        : undefined,
  });

/** A Go duration ("1m30s") in milliseconds. */
export const duration = (fallbackMs = 0): ConfigSchema<number> =>
  leaf({
    expects: "a duration with units (ns, us, ms, s, m, h)",
    example: quote(formatDuration(fallbackMs || 10_000)),
    fallback: fallbackMs,
    take: (value) => (typeof value === "string" ? parseDuration(value) : undefined),
    encode: formatDuration,
  });

const octal = /^0?[0-7]{3}$/;

/** Permissions of a file, as chmod takes them: a text of octal digits, or TOML's own octal number. */
export const fileMode = (fallback: number): ConfigSchema<number> =>
  leaf({
    expects: "permissions as chmod takes them",
    example: quote(octalText(fallback)),
    fallback,
    take: (value) => {
      if (typeof value === "string" && octal.test(value)) return Number.parseInt(value, 8);
      return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= 0o777 ? value : undefined;
    },
    // containerd has no such key: it is written only where it says something.
    encode: (value) => (value === fallback ? undefined : octalText(value)),
  });

function octalText(mode: number): string {
  return mode.toString(8).padStart(4, "0");
}

/** One of these words; the empty one stands for the default. */
export const choice = <T extends string>(values: readonly T[], fallback: T): ConfigSchema<T> =>
  leaf({
    expects: `one of ${values.map(quote).join(", ")}`,
    example: quote(fallback),
    fallback,
    take: (value) => (value === "" ? fallback : values.find((one) => one === value)),
  });

export const texts = (
  fallback: readonly string[] = [],
  example: string = fallback[0] ?? "some text",
): ConfigSchema<readonly string[]> =>
  leaf({
    expects: "a list of strings",
    example: `[${quote(example)}]`,
    fallback,
    take: (value) => (isTexts(value) ? value : undefined),
  });

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === "string");
}

/** Anything, as it stands; for what is handed on. */
export const anything: ConfigSchema<unknown> = {
  expects: "anything",
  decode: (value) => value,
  encode: (value) => value,
};

/** A list of values of one shape. */
export function listOf<T>(of: ConfigSchema<T>): ConfigSchema<readonly T[]> {
  return {
    expects: "a list",
    encode: (value) => value.map((item) => of.encode(item)),
    decode: (value, path, report) => {
      if (value === undefined) return [];
      if (Array.isArray(value)) return value.map((item, index) => of.decode(item, [...path, index], report));
      report.invalid(path, "a list", value);
      return [];
    },
  };
}

/** Any keys, with values of one shape. */
export function mapOf<T>(of: ConfigSchema<T>): ConfigSchema<ReadonlyMap<string, T>> {
  return {
    expects: "a table",
    encode: (value) => Object.fromEntries([...value].map(([key, item]) => [key, of.encode(item)])),
    decode: (value, path, report) => {
      const found = new Map<string, T>();
      if (value === undefined) return found;
      if (!isTable(value)) {
        report.invalid(path, "a table", value);
        return found;
      }
      for (const [key, item] of Object.entries(value)) found.set(key, of.decode(item, [...path, key], report));
      return found;
    },
  };
}

export type TableFields = Readonly<Record<string, ConfigSchema<unknown>>>;
export type TableOf<F extends TableFields> = {
  readonly [K in keyof F]: F[K] extends ConfigSchema<infer T> ? T : never;
};

/** A table with known keys. The object built is a TableOf<F> by construction: one decoded value a field. */
export function table<F extends TableFields>(fields: F): ConfigSchema<TableOf<F>> {
  const known = Object.keys(fields);
  return {
    expects: "a table",
    encode: (value) =>
      Object.fromEntries(
        Object.entries(fields).flatMap(([key, field]) => {
          const encoded = field.encode(value[key]);
          return encoded === undefined ? [] : [[key, encoded]];
        }),
      ),
    decode: (value, path, report) => {
      if (value !== undefined && !isTable(value)) report.invalid(path, "a table", value);
      const given = isTable(value) ? value : {};
      for (const key of Object.keys(given)) if (!known.includes(key)) report.unknown([...path, key], known);
      const decoded = Object.entries(fields).map(([key, field]) => [
        key,
        field.decode(Object.hasOwn(given, key) ? given[key] : undefined, [...path, key], report),
      ]);
      return Object.fromEntries(decoded) as TableOf<F>;
    },
  };
}

/** True for a TOML table: not a list, not a date. */
export function isTable(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);
}
