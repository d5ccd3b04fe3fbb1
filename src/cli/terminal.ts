import { ReadStream } from "node:tty";
import { type Kernel, rawAttributes } from "../sys/index.ts";

export interface TerminalSize {
  readonly width: number;
  readonly height: number;
}

/** The terminal that this process was started in. */
export interface OwnTerminal {
  size(): TerminalSize;
  /** Calls back now and whenever the size changes. */
  onResize(callback: (size: TerminalSize) => void): void;
  /** False when this only shows, and input comes from elsewhere. */
  readonly keys: boolean;
  /** Keys as they are typed; `onDetach` is called at ctrl-p ctrl-q, which are not passed on. */
  input(onDetach: () => void): AsyncIterable<Uint8Array>;
  /** Back to how it was found. May be called more than once. */
  restore(): void;
}

const [ctrlP, ctrlQ] = [0x10, 0x11];

/** What of the kernel a terminal takes. */
export type TerminalCalls = Pick<Kernel, "windowSize" | "terminalAttributes" | "setTerminalAttributes">;

/**
 * Takes the terminal into raw mode, so that keys reach the container as they are.
 * Shape: only where standard input is a terminal.
 * Effects: however this process ends, short of SIGKILL, the terminal is put back.
 */
export function takeTerminal(kernel: TerminalCalls): OwnTerminal {
  // The runtime's own raw mode still turns line feeds into two characters, which garbles what draws a screen.
  const found = kernel.terminalAttributes(0);
  kernel.setTerminalAttributes(0, rawAttributes(found));
  const keyboard = new ReadStream(0);
  let raw = true;
  const restore = (): void => {
    if (!raw) return;
    raw = false;
    kernel.setTerminalAttributes(0, found);
    keyboard.pause();
  };
  process.on("exit", restore);
  return {
    ...watchTerminal(kernel, 0),
    keys: true,
    input: (onDetach) => withoutDetachKeys(keyboard, onDetach),
    restore,
  };
}

/** A terminal that only shows: its size is followed, its keys are left alone. */
export function watchTerminal(kernel: TerminalCalls, fd: number): OwnTerminal {
  const size = (): TerminalSize => {
    const { columns, rows } = kernel.windowSize(fd);
    return { width: columns, height: rows };
  };
  return {
    size,
    keys: false,
    onResize: (callback) => {
      process.on("SIGWINCH", () => callback(size()));
      callback(size());
    },
    input: noKeys,
    restore: () => {},
  };
}

async function* noKeys(): AsyncGenerator<Uint8Array> {}

async function* withoutDetachKeys(keys: AsyncIterable<Uint8Array>, onDetach: () => void): AsyncGenerator<Uint8Array> {
  let held = false;
  for await (const chunk of keys) {
    const passed: number[] = [];
    for (const key of chunk) {
      if (held && key === ctrlQ) {
        if (passed.length > 0) yield Uint8Array.from(passed);
        onDetach();
        return;
      }
      if (held) passed.push(ctrlP);
      held = key === ctrlP;
      if (!held) passed.push(key);
    }
    if (passed.length > 0) yield Uint8Array.from(passed);
  }
}
