import { resolve } from "node:path";
import { openClient } from "../../client/client.ts";
import type { UpgradeStateResponse } from "../../gen/lighter/system/v1/system_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { systemFault } from "../system-fault.ts";
import { CommandError } from "../usage-error.ts";

/** A daemon gives up on another program after a minute. */
const limitMs = 90_000;
const pollMs = 50;
const answerMs = 5_000;

export const command: Command = {
  summary: "Put another program in the daemon's place, while containers run",
  usage: "[OPTIONS] [PROGRAM]",
  description:
    "Starts PROGRAM, a lighterd, or the daemon's own file as it is now (after a package was upgraded). It takes over the sockets, so that no client is refused; calls that are under way end first, waits and event streams are told to call again. Containers go on. If the other program does not come up, the daemon goes on as before.",
  options: [],
  examples: [
    ["lighter system upgrade", "after the package was upgraded"],
    ["lighter system upgrade ./dist/lighterd", "to a program that was just built"],
  ],
  words: [0, 1],
  completes: "file",
  json: true,
  run: async (context) => {
    const { args, client, json, output } = context;
    const [program] = args.positional;
    const path = program === undefined ? "" : resolve(program);
    const before = await stateOf(context);
    const { pid } = await client.system.upgrade({ path }).catch((error: unknown) => {
      throw systemFault(error, "system upgrade", "restart it through its service manager: containers go on");
    });
    const after = await untilItServes(context, pid, before.pid);
    if (json)
      printJson(output, {
        pid: after.pid,
        version: after.version,
        before: { pid: before.pid, version: before.version },
      });
    else
      output.line(
        `lighterd ${after.version} (pid ${after.pid}) has taken over from ${before.version} (pid ${before.pid})`,
      );
    return 0;
  },
};

async function stateOf({ client }: CommandContext): Promise<UpgradeStateResponse> {
  return client.system.upgradeState({}).catch((error: unknown) => {
    throw systemFault(error, "system upgrade", "restart it through its service manager: containers go on");
  });
}

/** Asks whoever answers on the socket until it is the new one, or the old one says why it is not. */
async function untilItServes(context: CommandContext, pid: number, before: number): Promise<UpgradeStateResponse> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const state = await nextState(context);
    if (state?.pid === pid) return state;
    if (state?.pid === before && !state.underWay) {
      throw new CommandError(`the other program did not come up: ${state.failure}`, {
        hint: "the daemon goes on as before; its log says more",
      });
    }
    if (performance.now() > deadline)
      throw new CommandError(`the other program (pid ${pid}) does not answer`, { hint: "the daemon's log says more" });
    await Bun.sleep(pollMs);
  }
}

/** Over a connection of its own: that of before ends with the daemon. Answers undefined in between the two. */
async function nextState({ address, namespace }: CommandContext): Promise<UpgradeStateResponse | undefined> {
  using client = openClient({ address, namespace });
  try {
    // One that takes the connection and never answers must not outlast the limit.
    return await client.system.upgradeState({}, { timeoutMs: answerMs });
  } catch (error) {
    if (!isFault(error, "unavailable") && !isFault(error, "deadlineExceeded")) throw error;
    return undefined;
  }
}
