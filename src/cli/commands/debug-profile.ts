import type { Command } from "../command.ts";
import { writeDebugFile } from "../debug-file.ts";
import { systemFault } from "../system-fault.ts";
import { parsePositive } from "../units.ts";

const defaultSeconds = 10;

export const command: Command = {
  summary: "Write where the daemon's processor time goes",
  usage: "[OPTIONS] [FILE]",
  description:
    "Watches the daemon for some seconds, while it works on, and writes what it did as a .cpuprofile for the performance panel of Chromium's developer tools.",
  options: [{ long: "seconds", short: "s", value: "N", help: `For how long (default ${defaultSeconds}, at most 600)` }],
  examples: [
    ["lighter debug profile", "ten seconds into lighterd.cpuprofile"],
    ["lighter debug profile -s 60 /tmp/busy.cpuprofile", "a minute of it"],
  ],
  words: [0, 1],
  completes: "file",
  run: async ({ args, client, output }) => {
    const given = args.text("seconds");
    const seconds = given === undefined ? defaultSeconds : parsePositive(given, "--seconds");
    const file = args.positional[0] ?? "lighterd.cpuprofile";
    const how = "open it in Chromium's developer tools: Performance, Load profile";
    await writeDebugFile(output, file, client.debug.profile({ seconds }), how).catch((error: unknown) => {
      throw systemFault(error, "debug profile", "ctr pprof --debug-socket ... profile is containerd's");
    });
    return 0;
  },
};
