/** A log of a process's output: a file that the process writes itself, and how much of it is kept. */
export interface LogTarget {
  readonly path: string;
  /** At least this much of the newest output stays; 0 keeps all. */
  readonly maxBytes: number;
}

const kindKey = "log";
const kindTimed = "timed";
const boundKey = "max-bytes";

/**
 * A log as a task's stdout: an address that any shim understands as a plain file, since containerd's looks at the path alone.
 * Shape: `file:///PATH?log=timed&max-bytes=N`.
 */
export function logAddress({ path, maxBytes }: LogTarget): string {
  return `file://${encodeURI(path).replaceAll("?", "%3F").replaceAll("#", "%23")}?${kindKey}=${kindTimed}&${boundKey}=${maxBytes}`;
}

/** The log that an address asks for; undefined for every other one. */
export function logTargetOf(address: string): LogTarget | undefined {
  if (!address.startsWith("file:") || !address.includes(`${kindKey}=${kindTimed}`) || !URL.canParse(address))
    return undefined;
  const { pathname, searchParams } = new URL(address);
  if (searchParams.get(kindKey) !== kindTimed) return undefined;
  const bound = Number(searchParams.get(boundKey) ?? 0);
  return { path: decodeURIComponent(pathname), maxBytes: Number.isSafeInteger(bound) && bound > 0 ? bound : 0 };
}

/** Where the times of a log's bytes are kept. */
export function timesPathOf(path: string): string {
  return `${path}.times`;
}
