import { type OwnProgram, ownProgram } from "../../../lib/own-programs.ts";

/** The shim host's program. */
export function hostCommand(): OwnProgram {
  return ownProgram("containerd-shim-lighter-v2");
}

/** The daemon's own program, which shims start to publish events. */
export function publishCommand(): string {
  return ownProgram("lighterd").command[0] ?? "";
}
