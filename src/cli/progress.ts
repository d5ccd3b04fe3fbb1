import type { Output } from "./output.ts";
import { writeAll } from "./output.ts";
import { styleOf } from "./style.ts";
import { cut } from "./table.ts";
import { formatBytes } from "./units.ts";

/** A long piece of work's progress. Disposing ends its line. */
export interface Progress extends Disposable {
  at(count: number): void;
}

/** What is counted: for work of unknown length the seconds. */
export type ProgressUnit = "bytes" | "seconds";

const barWidth = 30;
const redrawMs = 80;

/**
 * Shows progress on standard error: a bar with bytes, speed and time left on a terminal; elsewhere one line at the start,
 * so that a log says what took the time.
 */
export function startProgress(
  output: Output,
  title: string,
  total: number | undefined,
  unit: ProgressUnit = "bytes",
): Progress {
  if (!output.errorTerminal) {
    output.note(title);
    return { at: () => {}, [Symbol.dispose]: () => {} };
  }
  const style = styleOf(output.color);
  const startedAt = performance.now();
  let drawnAt = 0;
  let last = 0;
  let ended = false;
  const draw = (): void => {
    drawnAt = performance.now();
    const told = figures(last, total, unit, drawnAt - startedAt);
    // One line, whatever the width: a line that wraps would not be drawn over. The bar gives way first, then the title.
    const room = output.columns - 1 - told.length - 2;
    const width = total === undefined ? 0 : Math.max(0, Math.min(barWidth, room - title.length));
    const shown = cut(title, Math.max(8, room - width));
    writeAll(2, `\r\x1b[K${shown} ${width < 5 ? "" : `${style.blue(bar(last, total, width))} `}${told}`);
  };
  return {
    at: (count) => {
      last = count;
      if (performance.now() - drawnAt >= redrawMs) draw();
    },
    [Symbol.dispose]: () => {
      if (ended) return;
      ended = true;
      draw();
      writeAll(2, "\n");
    },
  };
}

/** A bar of eighths of a character; empty where the total is not known. */
export function bar(count: number, total: number | undefined, width: number = barWidth): string {
  if (total === undefined || total === 0) return "";
  const eighths = Math.round(Math.min(1, count / total) * width * 8);
  const whole = "█".repeat(Math.floor(eighths / 8));
  const part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"][eighths % 8] ?? "";
  return (whole + part).padEnd(width, "░");
}

function figures(count: number, total: number | undefined, unit: ProgressUnit, elapsedMs: number): string {
  if (unit === "seconds") return count === 0 ? "" : `${count} s`;
  const speed = elapsedMs > 200 ? count / (elapsedMs / 1000) : 0;
  const left =
    total !== undefined && speed > 0 && count < total ? `, ${Math.ceil((total - count) / speed)} s left` : "";
  const of = total === undefined ? "" : ` of ${formatBytes(total)}`;
  return `${formatBytes(count)}${of}${speed > 0 ? `, ${formatBytes(speed)}/s` : ""}${left}`;
}
