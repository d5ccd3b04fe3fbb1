import { setPriority } from "node:os";

/** As much as is left over, and still some on a machine that is always busy: what is half done holds locks of the filesystem. */
const backgroundPriority = 5;

/** Lets everybody else go first from here on. */
export function yieldToOthers(): void {
  setPriority(backgroundPriority);
}
