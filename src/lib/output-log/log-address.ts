/** A log of a process's output: a file that the process writes itself, and how much of it is kept. */
export interface LogTarget {
  readonly path: string;
  /** At least this much of the newest output stays; 0 keeps all. */
  readonly maxBytes: number;
  /** stderr has a file of its own beside it, so that one can tell the two apart. */
  readonly apart?: boolean | undefined;
}

const kindKey = "log";
const kindTimed = "timed";
const boundKey = "max-bytes";
const stderrKey = "stderr";
const stderrApart = "apart";

/**
 * A log as a task's stdout: an address that any shim understands as a plain file, since containerd's looks at the path alone.
 * Shape: `file:///PATH?log=timed&max-bytes=N`, and `&stderr=apart`. It is given for both streams.
 */
export function logAddress({ path, maxBytes, apart }: LogTarget): string {
  const file = encodeURI(path).replaceAll("?", "%3F").replaceAll("#", "%23");
  const streams = apart === true ? `&${stderrKey}=${stderrApart}` : "";
  return `file://${file}?${kindKey}=${kindTimed}&${boundKey}=${maxBytes}${streams}`;
}

/** The log of stderr alone, of a log that keeps the streams apart. */
export function stderrTargetOf({ path, maxBytes }: LogTarget): LogTarget {
  return { path: `${path}.stderr`, maxBytes };
}

/** The files of a log: one, or that of stdout and that of stderr. */
export function targetsOf(target: LogTarget): readonly LogTarget[] {
  return target.apart === true ? [{ ...target, apart: false }, stderrTargetOf(target)] : [target];
}

/** The log that an address asks for; undefined for every other one. */
export function logTargetOf(address: string): LogTarget | undefined {
  if (!address.startsWith("file:") || !address.includes(`${kindKey}=${kindTimed}`) || !URL.canParse(address))
    return undefined;
  const { pathname, searchParams } = new URL(address);
  if (searchParams.get(kindKey) !== kindTimed) return undefined;
  const bound = Number(searchParams.get(boundKey) ?? 0);
  const maxBytes = Number.isSafeInteger(bound) && bound > 0 ? bound : 0;
  const apart = searchParams.get(stderrKey) === stderrApart;
  return { path: decodeURIComponent(pathname), maxBytes, ...(apart ? { apart } : {}) };
}

/** Where the times of a log's bytes are kept. */
export function timesPathOf(path: string): string {
  return `${path}.times`;
}
