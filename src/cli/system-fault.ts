import { isFault } from "../lib/faults.ts";
import { CommandError } from "./usage-error.ts";

/** Says that only lighterd has a call, when that is why it failed. */
export function systemFault(error: unknown, command: string, instead: string): unknown {
  if (!isFault(error, "notImplemented")) return error;
  return new CommandError(`${command}: this daemon is no lighterd, and containerd has nothing like it`, {
    hint: instead,
    cause: error,
  });
}
