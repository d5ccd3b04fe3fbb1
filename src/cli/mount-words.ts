import type { Mount } from "../gen/containerd/types/mount_pb.ts";
import type { CommandContext } from "./command.ts";
import { printJson } from "./json.ts";
import { printable } from "./table.ts";

/** Prints mounts as commands for a shell, or as JSON. */
export function printMounts({ json, output }: CommandContext, mounts: readonly Mount[], target: string): void {
  if (json) {
    printJson(
      output,
      mounts.map(({ type, source, options }) => ({ type, source, options })),
    );
    return;
  }
  for (const { type, source, options, target: inside } of mounts) {
    const where = inside === "" ? target : `${target}/${inside}`;
    const words = ["mount", "-t", type, source, where, ...(options.length === 0 ? [] : ["-o", options.join(",")])];
    output.line(words.map(shellWord).join(" "));
  }
}

function shellWord(word: string): string {
  const shown = printable(word);
  return /^[A-Za-z0-9_@%+=:,./-]+$/.test(shown) ? shown : `'${shown.replaceAll("'", `'\\''`)}'`;
}
