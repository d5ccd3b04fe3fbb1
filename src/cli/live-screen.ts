import type { Output } from "./output.ts";

/** A picture that is drawn again and again until somebody has seen enough. */
export interface LiveScreen extends Disposable {
  /** True after ctrl-c or a request to end. */
  readonly ended: boolean;
  /** Waits, and returns early when it ended. */
  pause(ms: number): Promise<void>;
  /** Draws a frame over the last one on a terminal, and anew whenever its size changes; elsewhere one after the other. */
  show(frame: () => readonly string[]): void;
}

/** Effects: the cursor is hidden, and comes back when this is disposed or the process ends. */
export function liveScreen(output: Output): LiveScreen {
  const { terminal } = output;
  const end = Promise.withResolvers<void>();
  let ended = false;
  let drawn: readonly string[] = [];
  let frame: () => readonly string[] = () => [];
  const onEnd = (): void => {
    ended = true;
    end.resolve();
  };
  const draw = (): void => {
    const lines = cutToHeight(frame(), output.rows);
    const up = drawn.length === 0 ? "" : `\x1b[${heightOf(drawn, output.columns)}A`;
    output.write(`\r${up}\x1b[J${lines.join("\n")}\n`);
    drawn = lines;
  };
  const showCursor = (): void => output.write("\x1b[?25h");
  process.on("SIGINT", onEnd);
  process.on("SIGTERM", onEnd);
  if (terminal) {
    output.write("\x1b[?25l");
    process.on("exit", showCursor);
    process.on("SIGWINCH", draw);
  }
  return {
    get ended() {
      return ended;
    },
    pause: (ms) => Promise.race([Bun.sleep(ms), end.promise]),
    show: (next) => {
      frame = next;
      if (terminal) draw();
      else output.write(`${next().join("\n")}\n\n`);
    },
    [Symbol.dispose]: () => {
      for (const name of ["SIGINT", "SIGTERM"] as const) process.off(name, onEnd);
      if (!terminal) return;
      process.off("SIGWINCH", draw);
      process.off("exit", showCursor);
      // The terminal wrote ^C where the cursor stood.
      output.write("\r\x1b[K\x1b[?25h");
    },
  };
}

/** What scrolled out could not be drawn over: the last line says how much is missing. */
function cutToHeight(lines: readonly string[], rows: number): readonly string[] {
  if (rows <= 2 || lines.length < rows) return lines;
  const kept = rows - 2;
  return [...lines.slice(0, kept), `… and ${lines.length - kept} more`];
}

/** A window that became narrower has broken lines that fitted before. */
function heightOf(lines: readonly string[], columns: number): number {
  return lines.reduce((sum, line) => sum + Math.max(1, Math.ceil(Bun.stringWidth(line) / columns)), 0);
}
