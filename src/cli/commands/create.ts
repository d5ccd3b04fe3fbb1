import type { Command } from "../command.ts";
import { createStopped } from "../run-container.ts";
import { withImage } from "../with-image.ts";
import { planOf, command as run } from "./run.ts";

/** What has a meaning for a container that runs at once alone. */
const notHere: readonly string[] = ["detach", "rm"];

export const command: Command = {
  ...run,
  summary: "Make a container and don't start it",
  description: "Takes what lighter run takes; lighter start starts it, and lighter start -ai does so here.",
  options: run.options.filter(({ long }) => !notHere.includes(long)),
  examples: [
    ["lighter create --name job alpine sh -c 'echo done'", "make it"],
    ["lighter start -a job", "and run it here"],
  ],
  run: (context) => {
    const plan = planOf(context);
    return withImage(context, plan.image, () => createStopped(context, plan));
  },
};
