import { writeSync } from "node:fs";

/**
 * Writes log lines to standard error as they come, whole. A reader that went away, or a full non-blocking pipe, costs the
 * line and nothing else: a daemon does not stop for its log.
 */
export function stderrSink(): (line: string) => void {
  return (line) => {
    try {
      writeSync(2, line);
    } catch {
      // There is nowhere left to say it.
    }
  };
}
