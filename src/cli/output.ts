import { fstatSync, readlinkSync, writeSync } from "node:fs";

/** Where a command's words go. */
export interface Output {
  /** A line on standard output. */
  line(text: string): void;
  /** Text on standard output as it is. */
  write(text: string): void;
  /** A line on standard error. */
  note(text: string): void;
  /** True when standard output is a terminal. */
  readonly terminal: boolean;
  readonly errorTerminal: boolean;
  /** Colours may be used on standard output. */
  readonly color: boolean;
  readonly columns: number;
  /** Lines of the terminal; 0 where there is none. */
  readonly rows: number;
}

/** Nobody reads standard output any more; not a failure of the command. */
export class ClosedOutputError extends Error {
  constructor() {
    super("standard output is closed");
    this.name = "ClosedOutputError";
  }
}

/** The process's own streams. Source: no-color.org for NO_COLOR. */
export function processOutput(env: Readonly<Record<string, string | undefined>>): Output {
  let terminal: boolean | undefined;
  const isTerminal = (): boolean => (terminal ??= isTerminalFd(1));
  return {
    line: (text) => writeAll(1, `${text}\n`),
    write: (text) => writeAll(1, text),
    note: (text) => writeAll(2, `${text}\n`),
    get terminal() {
      return isTerminal();
    },
    get errorTerminal() {
      return isTerminalFd(2);
    },
    get color() {
      return isTerminal() && (env["NO_COLOR"] ?? "") === "" && env["TERM"] !== "dumb";
    },
    get columns() {
      return Number(env["COLUMNS"]) || terminalColumns() || 80;
    },
    get rows() {
      return isTerminal() ? (process.stdout.rows ?? 0) : 0;
    },
  };
}

/** Without node:tty, whose loading costs more than many a command. */
export function isTerminalFd(fd: number): boolean {
  try {
    return (
      fstatSync(fd).isCharacterDevice() && /^\/dev\/(pts\/|tty|console|hvc)/.test(readlinkSync(`/proc/self/fd/${fd}`))
    );
  } catch {
    // A descriptor that is closed is no terminal.
    return false;
  }
}

/** Of standard output, or of standard error where the former goes elsewhere; the runtime follows the window's changes. */
function terminalColumns(): number | undefined {
  if (isTerminalFd(1)) return process.stdout.columns;
  return isTerminalFd(2) ? process.stderr.columns : undefined;
}

const encoder = new TextEncoder();

/** Writes everything, also to a pipe that is full or that somebody made non-blocking. */
export function writeAll(fd: number, text: string | Uint8Array): void {
  let rest = typeof text === "string" ? encoder.encode(text) : text;
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(fd, rest));
    } catch (error) {
      const code = (error as { code?: string }).code;
      if (code === "EPIPE") throw new ClosedOutputError();
      if (code !== "EAGAIN") throw error;
      Bun.sleepSync(1);
    }
  }
}
