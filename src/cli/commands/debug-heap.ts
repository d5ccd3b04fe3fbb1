import type { Command } from "../command.ts";
import { writeDebugFile } from "../debug-file.ts";
import { systemFault } from "../system-fault.ts";

export const command: Command = {
  summary: "Write a snapshot of the daemon's heap",
  usage: "[OPTIONS] [FILE]",
  description:
    "What the daemon keeps in memory, and by what, for the memory panel of Chromium's developer tools. The daemon stands still while it is taken, for a part of a second mostly; what it holds is in the file, secrets too.",
  options: [],
  examples: [
    ["lighter debug heap", "write lighterd.heapsnapshot"],
    ["lighter debug heap /tmp/before.heapsnapshot", "one of two, to compare"],
  ],
  words: [0, 1],
  completes: "file",
  run: async ({ args, client, output }) => {
    const file = args.positional[0] ?? "lighterd.heapsnapshot";
    const how = "open it in Chromium's developer tools: Memory, Load profile";
    await writeDebugFile(output, file, client.debug.heap({}), how).catch((error: unknown) => {
      throw systemFault(error, "debug heap", "ctr pprof --debug-socket ... heap is containerd's");
    });
    return 0;
  },
};
