import { readFileSync, rmSync } from "node:fs";

/** Marks a step after which a test may have the process die; does nothing in any other life. */
export type Failpoint<Step extends string> = (step: Step) => void;

/** Names a file; while it is there, and holds a step's name, the process that comes to that step ends. For tests alone. */
export const failpointVariable = "LIGHTER_FAILPOINT_FILE";

/**
 * Makes a failpoint.
 * Effects: a death is as sudden as by `kill -9`, and happens once: the file goes first.
 */
export function createFailpoint<Step extends string>(file: string | undefined): Failpoint<Step> {
  if (file === undefined || file === "") return () => {};
  return (step) => {
    if (armedStep(file) !== step) return;
    rmSync(file, { force: true });
    process.kill(process.pid, "SIGKILL");
  };
}

function armedStep(file: string): string | undefined {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    // No file: nothing is armed.
    return undefined;
  }
}
