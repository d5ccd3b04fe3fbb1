import type { TransferStep } from "../client/transfers/transfer.ts";
import { type Output, writeAll } from "./output.ts";
import { bar } from "./progress.ts";
import { styleOf } from "./style.ts";
import { cut } from "./table.ts";
import { formatBytes } from "./units.ts";

/** Shows how an image goes over, part by part. Disposing it ends the picture. */
export interface TransferDisplay extends Disposable {
  step(step: TransferStep): void;
  /** Bytes that went over the network. */
  readonly movedBytes: number;
}

interface Part {
  readonly label: string;
  startedAt: number;
  event: string;
  offset: number;
  /** Where it was when it began to go over: what an earlier attempt has brought. */
  begunAt: number | undefined;
  totalBytes: number;
  /** Whether any of it went over. */
  moved: boolean;
  /** Since when it is unpacked, and how many of its bytes are. */
  unpackedSince: number | undefined;
  unpacked: number;
}

const redrawMs = 100;
const barWidth = 24;

/** On a terminal a line with a bar, speed and time left for each part; elsewhere a line when a part is done. */
export function transferDisplay(output: Output, quiet: boolean): TransferDisplay {
  const parts = new Map<string, Part>();
  const follow = (step: TransferStep): Part | undefined => {
    if (step.digest === "" || !isKnown(step.event)) return undefined;
    return update(parts, step, performance.now());
  };
  const moved = (): number => [...parts.values()].reduce((sum, part) => sum + movedOf(part), 0);
  const base = {
    get movedBytes() {
      return moved();
    },
  };
  if (quiet) return withBytes(base, { step: (step) => void follow(step), [Symbol.dispose]: () => {} });
  if (!output.errorTerminal) {
    return withBytes(base, {
      step: (step) => {
        const part = follow(step);
        const words = part === undefined ? undefined : plainWords[step.event];
        if (part !== undefined && words !== undefined) output.note(`${part.label}  ${words(part)}`);
      },
      [Symbol.dispose]: () => {},
    });
  }
  const screen = new Screen(output, parts);
  return withBytes(base, { step: (step) => void follow(step), [Symbol.dispose]: () => screen.end() });
}

function withBytes(
  base: { readonly movedBytes: number },
  display: Omit<TransferDisplay, "movedBytes">,
): TransferDisplay {
  return {
    ...display,
    get movedBytes() {
      return base.movedBytes;
    },
  };
}

const plainWords: Readonly<Record<string, (part: Part) => string>> = {
  complete: (part) => `done, ${formatBytes(part.totalBytes)}`,
  "already exists": () => "is there already",
  extracted: () => "unpacked",
};

function isKnown(event: string): boolean {
  return ["waiting", "downloading", "uploading", "complete", "already exists", "extracting", "extracted"].includes(
    event,
  );
}

function update(parts: Map<string, Part>, step: TransferStep, now: number): Part {
  let part = parts.get(step.name);
  if (part === undefined) {
    part = {
      label: labelOf(step),
      startedAt: now,
      event: step.event,
      offset: 0,
      begunAt: undefined,
      totalBytes: step.totalBytes,
      moved: false,
      unpackedSince: undefined,
      unpacked: 0,
    };
    parts.set(step.name, part);
  }
  part.event = step.event;
  if (step.totalBytes > 0) part.totalBytes = step.totalBytes;
  if (step.event === "downloading" || step.event === "uploading") {
    // An upload that broke is gone on with by the one push, whose bytes all count.
    if (part.begunAt === undefined) {
      part.begunAt = step.event === "uploading" ? 0 : step.offset;
      part.startedAt = now;
    }
    part.moved = true;
    part.offset = step.offset;
  } else if (step.event === "complete") {
    part.moved = true;
    part.offset = part.totalBytes;
  } else if (step.event === "extracting" || step.event === "extracted") {
    part.unpackedSince ??= now;
    part.unpacked = step.event === "extracted" ? part.totalBytes : step.offset;
  }
  return part;
}

function movedOf({ moved, offset, begunAt = 0 }: Part): number {
  return moved ? offset - begunAt : 0;
}

/** `layer 4f4fb700ef54`: what it is, and the digest's beginning as docker shows it. */
function labelOf({ name, digest }: TransferStep): string {
  const kind = /^[a-z]+(?=-)/.exec(name)?.[0] ?? "part";
  return `${kind.padEnd(8)} ${digest.replace(/^[a-z0-9]+:/, "").slice(0, 12)}`;
}

/** The picture on standard error, drawn anew from time to time. */
class Screen {
  readonly #output: Output;
  readonly #parts: ReadonlyMap<string, Part>;
  readonly #timer: ReturnType<typeof setInterval>;
  #drawn = 0;

  constructor(output: Output, parts: ReadonlyMap<string, Part>) {
    this.#output = output;
    this.#parts = parts;
    this.#timer = setInterval(() => this.#draw(), redrawMs);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#draw();
  }

  #draw(): void {
    const columns = (process.stderr.columns ?? this.#output.columns) - 1;
    const rows = process.stderr.rows ?? 24;
    const all = [...this.#parts.values()];
    const unpacking = this.#unpacking(all, columns);
    const lines = [...all.map((part) => this.#line(part, columns)), ...unpacking].map((line) => cut(line, columns));
    // What scrolled out could not be drawn over: the last ones stay, which are those that move.
    const shown =
      lines.length < rows - 1 ? lines : [`… and ${lines.length - (rows - 2)} more`, ...lines.slice(-(rows - 2))];
    const up = this.#drawn === 0 ? "" : `\x1b[${this.#drawn}A`;
    writeAll(2, `${up}\r\x1b[J${shown.map((line) => `${line}\n`).join("")}`);
    this.#drawn = shown.length;
  }

  #line(part: Part, columns: number): string {
    if (part.event !== "downloading" && part.event !== "uploading") return `${part.label}  ${wordsOf(part)}`;
    const { label, startedAt, offset, totalBytes } = part;
    return this.#barLine({ label, startedAt, offset, totalBytes, done: movedOf(part) }, columns);
  }

  /** All layers' unpacking in one line, as soon as there is any. */
  #unpacking(all: readonly Part[], columns: number): readonly string[] {
    const begun = all.filter((part) => part.unpackedSince !== undefined);
    if (begun.length === 0) return [];
    const layers = all.filter((part) => part.label.startsWith("layer"));
    const totalBytes = layers.reduce((sum, part) => sum + part.totalBytes, 0);
    const offset = begun.reduce((sum, part) => sum + part.unpacked, 0);
    const startedAt = Math.min(...begun.map((part) => part.unpackedSince ?? Number.POSITIVE_INFINITY));
    const label = "unpacking".padEnd(all[0]?.label.length ?? 0);
    if (offset >= totalBytes) return [`${label}  done, ${formatBytes(totalBytes)}`];
    return [this.#barLine({ label, startedAt, offset, totalBytes, done: offset }, columns)];
  }

  #barLine(line: BarLine, columns: number): string {
    const style = styleOf(this.#output.color);
    const told = figures(line, performance.now());
    const width = Math.min(barWidth, columns - line.label.length - told.length - 4);
    const drawn = width < 5 ? "" : `${style.blue(bar(line.offset, line.totalBytes, width))}  `;
    return `${line.label}  ${drawn}${told}`;
  }
}

function wordsOf(part: Part): string {
  if (part.event === "complete") return `done, ${formatBytes(part.totalBytes)}`;
  return (
    { "already exists": "is there already", extracting: "unpacking", extracted: "unpacked" }[part.event] ?? part.event
  );
}

interface BarLine extends Pick<Part, "label" | "startedAt" | "offset" | "totalBytes"> {
  /** What was done since it started. */
  readonly done: number;
}

function figures(part: BarLine, now: number): string {
  const elapsed = (now - part.startedAt) / 1000;
  const speed = elapsed > 0.2 ? part.done / elapsed : 0;
  const left = part.totalBytes - part.offset;
  const time = speed > 0 && left > 0 ? `, ${Math.ceil(left / speed)} s left` : "";
  const pace = speed > 0 ? `, ${formatBytes(speed)}/s` : "";
  return `${formatBytes(part.offset)} of ${formatBytes(part.totalBytes)}${pace}${time}`;
}
