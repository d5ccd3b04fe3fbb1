import type { Fd } from "./files.ts";
import { check, lazyLibrary } from "./libc.ts";

export interface TerminalCalls {
  /** Sets the size of a terminal, by its master or slave. Source: ioctl_tty(2), TIOCSWINSZ. */
  setWindowSize(fd: Fd, columns: number, rows: number): void;
  /** Source: ioctl_tty(2), TIOCGWINSZ. */
  windowSize(fd: Fd): { readonly columns: number; readonly rows: number };
  /** What a terminal makes of keys and output, as the kernel keeps it. Source: ioctl_tty(2), TCGETS. */
  terminalAttributes(fd: Fd): Uint8Array;
  /** Takes effect once what was written is out. Source: ioctl_tty(2), TCSETSW. */
  setTerminalAttributes(fd: Fd, attributes: Uint8Array): void;
}

const libc = lazyLibrary({ ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" } });

const [getSize, setSize] = [0x5413, 0x5414];
const [getAttributes, setAttributes] = [0x5401, 0x5403];

/** The kernel's struct termios: four u32 of flags, the line discipline, 19 control characters. Source: asm-generic/termbits.h. */
export const termiosLayout = { size: 36, input: 0, output: 4, control: 8, local: 12, vtime: 22, vmin: 23 } as const;

/** Flags by their numbers on x86 and arm. Source: asm-generic/termbits.h; the choice of them: termios(3), cfmakeraw. */
export const rawClears = { input: 0o2753, output: 0o1, local: 0o100113 } as const;
const [sizeAndParity, eightBits] = [0o460, 0o60];

/** The same attributes, but every byte goes through as it is, in and out: the other side has a terminal of its own. */
export function rawAttributes(attributes: Uint8Array): Uint8Array {
  const raw = Uint8Array.from(attributes);
  const view = new DataView(raw.buffer);
  for (const field of ["input", "output", "local"] as const) {
    const at = termiosLayout[field];
    view.setUint32(at, view.getUint32(at, true) & ~rawClears[field], true);
  }
  const { control, vmin, vtime } = termiosLayout;
  view.setUint32(control, (view.getUint32(control, true) & ~sizeAndParity) | eightBits, true);
  raw[vmin] = 1;
  raw[vtime] = 0;
  return raw;
}

/** SAFETY: struct winsize is four u16 (rows, columns, and two unused). JUSTIFICATION: the runtime sizes only its own terminals. */
export const terminalCalls: TerminalCalls = {
  setWindowSize: (fd, columns, rows) => {
    check("ioctl", () => libc().ioctl(fd, setSize, new Uint16Array([rows, columns, 0, 0])));
  },
  windowSize: (fd) => {
    const size = new Uint16Array(4);
    check("ioctl", () => libc().ioctl(fd, getSize, size));
    return { columns: size[1] as number, rows: size[0] as number };
  },
  terminalAttributes: (fd) => {
    // Some room more than the structure takes, should a kernel know a longer one.
    const attributes = new Uint8Array(64);
    check("ioctl", () => libc().ioctl(fd, getAttributes, attributes));
    return attributes.slice(0, termiosLayout.size);
  },
  setTerminalAttributes: (fd, attributes) => {
    check("ioctl", () => libc().ioctl(fd, setAttributes, attributes));
  },
};
