import type { Fd } from "./files.ts";
import { check, lazyLibrary } from "./libc.ts";

export interface TerminalCalls {
  /** Sets the size of a terminal, by its master or slave. Source: ioctl_tty(2), TIOCSWINSZ. */
  setWindowSize(fd: Fd, columns: number, rows: number): void;
  /** Source: ioctl_tty(2), TIOCGWINSZ. */
  windowSize(fd: Fd): { readonly columns: number; readonly rows: number };
}

const libc = lazyLibrary({ ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" } });

const [getSize, setSize] = [0x5413, 0x5414];

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
};
