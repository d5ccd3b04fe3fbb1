import type { Output } from "./output.ts";
import { styleOf } from "./style.ts";

export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  readonly align?: "left" | "right";
  /** May be cut with an ellipsis where the terminal is too narrow. */
  readonly shrink?: boolean;
  /** Left out where the terminal is too narrow even so, the highest first. */
  readonly spare?: number;
  readonly paint?: (text: string, row: T) => string;
}

const gap = "  ";
const smallestShrunk = 10;
/** Where nothing else helps, any column is cut, down to this. */
const smallestCut = 4;

/**
 * Lays rows out in aligned columns.
 * Shape: one line a row after the titles; `width` bounds a line: columns are cut or left out for it; 0 means no bound. Control
 * characters are shown as `?`, since the values come from others and a terminal would obey them.
 */
export function tableLines<T>(
  given: readonly Column<T>[],
  rows: readonly T[],
  options: { width: number; color: boolean },
): string[] {
  const columns = columnsThatFit(given, rows, options.width);
  const cells = rows.map((row) => columns.map((column) => printable(column.value(row))));
  const widths = widthsOf(columns, rows);
  if (options.width > 0) {
    shrink(widths, options.width, (i) => (columns[i]?.shrink === true ? smallestShrunk : undefined));
    shrink(widths, options.width, () => smallestCut);
  }
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

function widthsOf<T>(columns: readonly Column<T>[], rows: readonly T[]): number[] {
  return columns.map(({ title, value }) =>
    Math.max(textWidth(title), ...rows.map((row) => textWidth(printable(value(row))))),
  );
}

/** Without the columns that can be spared, when all of them are too many. */
function columnsThatFit<T>(columns: readonly Column<T>[], rows: readonly T[], width: number): readonly Column<T>[] {
  if (width <= 0) return columns;
  const least = widthsOf(columns, rows).map((each, i) =>
    columns[i]?.shrink === true ? Math.min(each, smallestShrunk) : each,
  );
  if (lineWidth(least) <= width) return columns;
  const spare = Math.max(...columns.map((column) => column.spare ?? 0));
  if (spare === 0) return columns;
  return columnsThatFit(
    columns.filter((column) => column.spare !== spare),
    rows,
    width,
  );
}

function lineWidth(widths: readonly number[]): number {
  return widths.reduce((sum, width) => sum + width, 0) + gap.length * (widths.length - 1);
}

/** Takes from columns, the last first, what a line is too long; `least` says how far each may go, if at all. */
function shrink(widths: number[], bound: number, least: (i: number) => number | undefined): void {
  for (let i = widths.length - 1; i >= 0; i--) {
    const over = lineWidth(widths) - bound;
    const most = least(i);
    const width = widths[i] ?? 0;
    if (over > 0 && most !== undefined && width > most) widths[i] = Math.max(most, width - over);
  }
}

/** A text cut to a width, with an ellipsis where something is missing. */
export function cut(text: string, width: number): string {
  if (textWidth(text) <= width) return text;
  let shown = "";
  for (const letter of text) {
    if (textWidth(shown) + textWidth(letter) > width - 1) break;
    shown += letter;
  }
  return `${shown}…`;
}

function padded(text: string, width: number, align: "left" | "right"): string {
  const room = " ".repeat(Math.max(0, width - textWidth(text)));
  return align === "right" ? room + text : text + room;
}

function textWidth(text: string): number {
  return Bun.stringWidth(text);
}

/** Text that a terminal cannot take for orders; `allowed` is let through. */
export function printable(text: string, allowed = ""): string {
  return text.replace(/\p{Cc}/gu, (letter) => (letter === allowed ? letter : "?"));
}
