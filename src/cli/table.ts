import type { Output } from "./output.ts";
import { styleOf } from "./style.ts";

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  readonly align?: "left" | "right";
  /** May be cut with an ellipsis where the terminal is too narrow. */
  readonly shrink?: boolean;
  readonly paint?: (text: string, row: T) => string;
}

const gap = "  ";
const smallestShrunk = 12;

/**
 * Lays rows out in aligned columns.
 * Shape: one line a row after the titles; `width` bounds a line where columns may shrink, 0 means no bound. Control
 * characters are shown as `?`, since the values come from others and a terminal would obey them.
 */
export function tableLines<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  options: { width: number; color: boolean },
): string[] {
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = columns.map((column, i) =>
    Math.max(textWidth(column.title), ...cells.map((line) => textWidth(line[i] ?? ""))),
  );
  fit(columns, widths, options.width);
  const style = styleOf(options.color);
  const lay = (texts: readonly string[], paint: (text: string, i: number) => string): string =>
    columns
      .map((column, i) => paint(padded(cut(texts[i] ?? "", widths[i] ?? 0), widths[i] ?? 0, column.align ?? "left"), i))
      .join(gap)
      .trimEnd();
  return [
    lay(
      columns.map(({ title }) => title),
      (text) => style.bold(text),
    ),
    ...rows.map((row, line) =>
      lay(cells[line] ?? [], (text, i) => {
        const paint = columns[i]?.paint;
        return paint === undefined || !options.color ? text : paint(text, row);
      }),
    ),
  ];
}

/** Prints rows as a table, or as JSON when that was asked for. */
export function printTable<T>(output: Output, columns: readonly Column<T>[], rows: readonly T[]): void {
  const options = { width: output.terminal ? output.columns : 0, color: output.color };
  output.write(`${tableLines(columns, rows, options).join("\n")}\n`);
}

function fit<T>(columns: readonly Column<T>[], widths: number[], bound: number): void {
  if (bound <= 0) return;
  const total = (): number => widths.reduce((sum, width) => sum + width, 0) + gap.length * (widths.length - 1);
  for (let i = columns.length - 1; i >= 0 && total() > bound; i--) {
    if (columns[i]?.shrink !== true) continue;
    widths[i] = Math.max(smallestShrunk, (widths[i] ?? 0) - (total() - bound));
  }
}

function cut(text: string, width: number): string {
  return textWidth(text) <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}

function padded(text: string, width: number, align: "left" | "right"): string {
  const room = " ".repeat(Math.max(0, width - textWidth(text)));
  return align === "right" ? room + text : text + room;
}

function textWidth(text: string): number {
  return Bun.stringWidth(text);
}

/** Text that a terminal cannot take for orders. */
export function printable(text: string): string {
  return text.replace(/\p{Cc}/gu, "?");
}
