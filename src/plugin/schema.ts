import { formatDuration, parseDuration } from "./duration.ts";

/** Where a key stands: from the top of the document to it. */
export type ConfigPath = readonly (string | number)[];

/** Where a decoder says what it found wrong. It goes on after each, so that a person sees all of it at once. */
export interface ConfigReport {
  /** A key that nothing reads. */
  unknown(path: ConfigPath, known: readonly string[]): void;
  /** A value that cannot be used. */
  invalid(path: ConfigPath, expected: string, got: unknown): void;
}

/** How one value of a configuration is read. `decode(undefined)` is its default. */
export interface ConfigSchema<T> {
  /** For messages: "a string", "a list of strings". */
  readonly expects: string;
  decode(value: unknown, path: ConfigPath, report: ConfigReport): T;
  /** The value as TOML writes it; undefined leaves it out. */
  encode(value: T): unknown;
}

/** Reads a value that passes the test; the default when it is absent, and after reporting when it is wrong. */
function leaf<T>(
  expects: string,
  fallback: T,
  take: (value: unknown) => T | undefined,
  encode: (value: T) => unknown = (value) => value,
): ConfigSchema<T> {
  return {
    expects,
    encode,
    decode: (value, path, report) => {
      if (value === undefined) return fallback;
      const taken = take(value);
      if (taken !== undefined) return taken;
      report.invalid(path, expects, value);
      return fallback;
    },
  };
}

export const text = (fallback = ""): ConfigSchema<string> =>
  leaf("a string", fallback, (value) => (typeof value === "string" ? value : undefined));

export const flag = (fallback = false): ConfigSchema<boolean> =>
  leaf("true or false", fallback, (value) => (typeof value === "boolean" ? value : undefined));

export const integer = (fallback = 0, min: number = Number.MIN_SAFE_INTEGER): ConfigSchema<number> => {
  const expects = min === Number.MIN_SAFE_INTEGER ? "an integer" : `an integer of at least ${min}`;
  return leaf(expects, fallback, (value) =>
    typeof value === "number" && Number.isSafeInteger(value) && value >= min ? value : undefined,
  );
};

/** A Go duration ("1m30s") in milliseconds. */
export const duration = (fallbackMs = 0): ConfigSchema<number> =>
  leaf(
    'a duration such as "10s" or "1m30s"',
    fallbackMs,
    (value) => (typeof value === "string" ? parseDuration(value) : undefined),
    formatDuration,
  );

export const choice = <T extends string>(values: readonly T[], fallback: T): ConfigSchema<T> =>
  leaf(`one of ${values.map((value) => `"${value}"`).join(", ")}`, fallback, (value) =>
    value === "" ? fallback : values.find((one) => one === value),
  );

export const texts = (fallback: readonly string[] = []): ConfigSchema<readonly string[]> =>
  leaf("a list of strings", fallback, (value) =>
    Array.isArray(value) && value.every((item) => typeof item === "string") ? value : undefined,
  );

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
