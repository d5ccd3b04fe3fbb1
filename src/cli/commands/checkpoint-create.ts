import { findContainer } from "../../client/containers/find.ts";
import { checkIdentifier } from "../../lib/identifiers.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  summary: "Save a running container's state under a name",
  usage: "[OPTIONS] CONTAINER NAME",
  description:
    "Needs lighterd and criu. The container ends unless told to go on; lighter start --checkpoint NAME brings it back as it was.",
  options: [
    { long: "leave-running", help: "Let the container go on" },
    { long: "tcp", help: "Also with open TCP connections" },
    { long: "unix", help: "Also with unix sockets to outside" },
    { long: "shell", aliases: ["terminal"], help: "Also with a terminal's jobs" },
    { long: "file-locks", help: "Also with file locks" },
  ],
  examples: [
    ["lighter checkpoint create db before-upgrade", "save it and stop"],
    ["lighter checkpoint create --leave-running db nightly", "save it and let it go on"],
    ["lighter start --checkpoint before-upgrade db", "go on where it was saved"],
  ],
  words: [2, 2],
  completes: "container",
  run: async ({ client, args, output }) => {
    const [word = "", given = ""] = args.positional;
    const name = checkIdentifier(given);
    const { id } = await findContainer(client, word);
    await client.checkpoints.create({
      checkpoint: {
        containerId: id,
        name,
        exit: !args.flag("leave-running"),
        terminal: args.flag("shell"),
        openTcp: args.flag("tcp"),
        externalUnixSockets: args.flag("unix"),
        fileLocks: args.flag("file-locks"),
      },
    });
    output.line(name);
    return 0;
  },
};
