const newline = 0x0a;

/** For a worker's output: splits what comes into lines; each is taken before the next. */
export function takeLines(take: (line: string) => void | Promise<void>): (bytes: Uint8Array) => Promise<void> {
  let held = Buffer.alloc(0);
  return async (bytes) => {
    held = held.length === 0 ? Buffer.from(bytes) : Buffer.concat([held, bytes]);
    for (let end = held.indexOf(newline); end >= 0; end = held.indexOf(newline)) {
      const line = held.toString("utf8", 0, end);
      held = held.subarray(end + 1);
      await take(line);
    }
  };
}
