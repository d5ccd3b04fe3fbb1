import { findSnapshot } from "../../client/snapshots/snapshots.ts";
import { readStore } from "../../client/system/read-store.ts";
import { isFault } from "../../lib/faults.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";
import { holdersOf, holdersText } from "../object-names.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Remove snapshots",
  usage: "[OPTIONS] SNAPSHOT...",
  description:
    "One that others stand on cannot be removed. One that a container or an image needs is only removed with --force.",
  options: [snapshotterOption, { long: "force", short: "f", help: "Even if something needs it" }],
  examples: [["lighter snapshot rm work", "with all that was written into it"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "snapshot",
  run: async (context) => {
    const { client, args, output } = context;
    const snapshotter = await snapshotterOf(context);
    const holders = args.flag("force") ? undefined : (await readStore(client, { measure: false })).holders();
    return await forEach(context, args.positional, "snapshot rm", async (word) => {
      const { name: key } = await findSnapshot(client, snapshotter, word);
      const object = { kind: "snapshot", key: `${snapshotter}/${key}` } as const;
      const holding = holders === undefined ? [] : holdersOf(holders, object);
      if (holding.some(({ kind }) => kind === "container" || kind === "image")) {
        throw new CommandError(`snapshot ${key} is needed by ${holdersText(holding)}`, {
          hint: "remove that first, or use --force",
        });
      }
      await client.snapshots.remove({ snapshotter, key }).catch((error: unknown) => {
        if (!isFault(error, "failedPrecondition")) throw error;
        throw new CommandError(`snapshot ${key}: others stand on it`, { hint: "lighter snapshot tree", cause: error });
      });
      output.line(key);
    });
  },
};
