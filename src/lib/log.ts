/** Levels in containerd's order, the most talkative first. */
export const logLevels = ["trace", "debug", "info", "warn", "error", "fatal"] as const;
export type LogLevel = (typeof logLevels)[number];
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured lines in containerd's shape: time, level, msg, fields. */
export interface Logger {
  trace(message: string, fields?: LogFields): void;
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** True where lines of that level are written. */
  writes(level: LogLevel): boolean;
  /** Whether lines that belong to a trace say to which. */
  readonly namesTraces: boolean;
  /** A logger that adds these fields to every line. */
  with(fields: LogFields): Logger;
}

export type LogFormat = "text" | "json";

export interface LoggerOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Whether lines that belong to a trace say to which; they do not where left out. */
  readonly namesTraces?: boolean;
  /** Takes one whole line, newline included. */
  readonly write: (line: string) => void;
  readonly now?: () => Date;
}

export interface LeveledLogger extends Logger {
  setLevel(level: LogLevel): void;
  setFormat(format: LogFormat): void;
  setNamesTraces(namesTraces: boolean): void;
}

/** Makes the logger of a process. What it was made with can change while it runs; loggers made by `with` follow. */
export function createLogger(options: LoggerOptions): LeveledLogger {
  const { format, namesTraces = false } = options;
  const shared = { threshold: logLevels.indexOf(options.level), format, namesTraces };
  const now = options.now ?? (() => new Date());
  const make = (base: LogFields): LeveledLogger => {
    const emit = (level: LogLevel, message: string, fields?: LogFields): void => {
      if (logLevels.indexOf(level) < shared.threshold) return;
      const all = { ...base, ...fields };
      options.write(
        shared.format === "json" ? jsonLine(now(), level, message, all) : textLine(now(), level, message, all),
      );
    };
    return {
      trace: (message, fields) => emit("trace", message, fields),
      debug: (message, fields) => emit("debug", message, fields),
      info: (message, fields) => emit("info", message, fields),
      warn: (message, fields) => emit("warn", message, fields),
      error: (message, fields) => emit("error", message, fields),
      writes: (level) => logLevels.indexOf(level) >= shared.threshold,
      get namesTraces() {
        return shared.namesTraces;
      },
      with: (fields) => make({ ...base, ...fields }),
      setLevel: (level) => {
        shared.threshold = logLevels.indexOf(level);
      },
      setFormat: (format) => {
        shared.format = format;
      },
      setNamesTraces: (namesTraces) => {
        shared.namesTraces = namesTraces;
      },
    };
  };
  return make({});
}

/** A logger that keeps quiet, for parts that were given none. */
export const silentLogger: Logger = {
  writes: () => false,
  namesTraces: false,
  trace: () => {},
  debug: () => {},
  info: () => {},
  warn: () => {},
  error: () => {},
  with: () => silentLogger,
};

function jsonLine(time: Date, level: LogLevel, message: string, fields: LogFields): string {
  const plain: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(fields)) plain[key] = value instanceof Error ? value.message : value;
  return `${JSON.stringify({ ...plain, level: goLevel(level), msg: message, time: time.toISOString() }, bigintAsText)}\n`;
}

function textLine(time: Date, level: LogLevel, message: string, fields: LogFields): string {
  let line = `time=${JSON.stringify(time.toISOString())} level=${goLevel(level)} msg=${JSON.stringify(message)}`;
  for (const [key, value] of Object.entries(fields)) line += ` ${key}=${textValue(value)}`;
  return `${line}\n`;
}

function textValue(value: unknown): string {
  const text = value instanceof Error ? value.message : typeof value === "string" ? value : plainText(value);
  return /^[A-Za-z0-9_.:/@^+-]+$/.test(text) ? text : JSON.stringify(text);
}

function plainText(value: unknown): string {
  return JSON.stringify(value, bigintAsText) ?? "undefined";
}

const bigintAsText = (_key: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

function goLevel(level: LogLevel): string {
  return level === "warn" ? "warning" : level;
}
