import { findContainer } from "../../client/containers/find.ts";
import { getTask, waitProcess } from "../../client/containers/tasks.ts";
import type { Command, CommandContext } from "../command.ts";
import { rowOf } from "../container-list.ts";
import { destroyContainer } from "../destroy-container.ts";
import { forEach } from "../each.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Wait until containers end and print their exit codes",
  usage: "CONTAINER...",
  options: [{ long: "rm", help: "Remove each when it has ended", hidden: true }],
  examples: [
    ["lighter wait job", "wait for one"],
    ['test "$(lighter wait job)" = 0', "did it go well?"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) =>
    forEach(context, context.args.positional, "wait", async (word) => {
      const status = await waitFor(context, word);
      if (!context.args.flag("rm")) context.output.line(String(status));
    }),
};

async function waitFor(context: CommandContext, word: string): Promise<number> {
  const { client } = context;
  const container = await findContainer(client, word);
  const task = await getTask(client, container.id);
  const recorded = rowOf(container, undefined).exitStatus;
  if (task === undefined && recorded === undefined) {
    throw new CommandError(`container "${container.id}" was never started`, {
      hint: `lighter start ${container.id} starts it`,
    });
  }
  const status = task === undefined ? recorded : (await waitProcess(client, container.id)).status;
  if (context.args.flag("rm")) await destroyContainer(context, container, false);
  return status ?? 255;
}
