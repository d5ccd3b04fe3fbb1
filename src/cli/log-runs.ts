import type { LogFile, LogRange } from "./log-file.ts";

/** A part of one of several logs. */
export interface LogRun {
  readonly log: number;
  readonly range: LogRange;
}

/**
 * The parts of several logs as one, by when their lines came.
 * Shape: what came on two of them between two looks of whoever noted the times stands in the order of the logs.
 */
export function mergeRuns(files: readonly LogFile[], parts: readonly LogRange[]): LogRun[] {
  const [only] = parts;
  if (files.length === 1 && only !== undefined) return [{ log: 0, range: only }];
  const pieces = files.flatMap((file, log) => {
    const range = parts[log];
    return range === undefined ? [] : Array.from(file.pieces(range), (piece) => ({ log, ...piece }));
  });
  // Of one time the first log's come first: the sort is stable.
  pieces.sort((a, b) => (a.time === b.time ? 0 : a.time - b.time));
  const runs: LogRun[] = [];
  for (const { log, from, to } of pieces) {
    const last = runs.at(-1);
    if (last?.log === log && last.range.to === from)
      runs[runs.length - 1] = { log, range: { from: last.range.from, to } };
    else runs.push({ log, range: { from, to } });
  }
  return runs;
}

/** The last lines of merged logs. */
export function tailRuns(files: readonly LogFile[], runs: readonly LogRun[], lines: number): LogRun[] {
  const kept: LogRun[] = [];
  let left = lines;
  for (const run of runs.toReversed()) {
    const file = files[run.log];
    if (file === undefined || left <= 0) break;
    const from = file.tail(run.range, left);
    kept.unshift({ log: run.log, range: { from, to: run.range.to } });
    if (from > run.range.from) break;
    left -= file.linesIn(run.range);
  }
  return kept;
}
