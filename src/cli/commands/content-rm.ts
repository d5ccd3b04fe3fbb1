import { findBlob } from "../../client/content/blobs.ts";
import { readStore } from "../../client/system/read-store.ts";
import type { Command } from "../command.ts";
import { forEach } from "../each.ts";
import { holdersOf, holdersText } from "../object-names.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Remove blobs",
  usage: "[OPTIONS] DIGEST...",
  description: "A blob that an image or a lease needs is only removed with --force: what needs it is broken then.",
  options: [{ long: "force", short: "f", help: "Even if something needs it" }],
  examples: [["lighter content rm 4f4fb700ef54", "one that nothing needs"]],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "content",
  run: async (context) => {
    const { client, args, output } = context;
    const holders = args.flag("force") ? undefined : (await readStore(client, { measure: false })).holders();
    return await forEach(context, args.positional, "content rm", async (word) => {
      const { digest } = await findBlob(client, word);
      const holding = holders === undefined ? [] : holdersOf(holders, { kind: "content", key: digest });
      if (holding.some(({ key }) => key !== digest)) {
        throw new CommandError(`${digest} is needed by ${holdersText(holding)}`, {
          hint: "remove that first, or use --force",
        });
      }
      await client.content.delete({ digest });
      output.line(digest);
    });
  },
};
