import type { Client } from "../../client/client.ts";
import { findContainer } from "../../client/containers/find.ts";
import { setLabels } from "../../client/containers/labels.ts";
import { getTask } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { type RestartPolicy, restartLabels } from "../../lib/restart-labels.ts";
import type { Command, CommandContext } from "../command.ts";
import { logOf } from "../container-log.ts";
import { dockerUpdateOptions } from "../docker-words.ts";
import { forAll } from "../each.ts";
import { policyLabels, readRestartPolicy, restartHint, restartOption } from "../restart-options.ts";
import { UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Change when containers are restarted",
  usage: "--restart POLICY CONTAINER...",
  options: [restartOption],
  examples: [
    ["lighter update --restart unless-stopped web", "from now on it is started again until somebody stops it"],
    ["lighter update --restart no web", "it is left as it ends"],
  ],
  foreign: dockerUpdateOptions,
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: (context) => {
    const policy = readRestartPolicy(context.args);
    if (policy === undefined) throw new UsageError("update needs --restart", restartHint);
    return forAll(context, context.args.positional, "update", async (word) => {
      await changePolicy(context, await findContainer(context.client, word), policy);
      context.output.line(word);
    });
  },
};

const [running, paused] = [2, 4];

/** A container that was not kept running before is from now on if it runs. */
async function changePolicy(context: CommandContext, container: Container, policy: RestartPolicy): Promise<void> {
  const { client } = context;
  const { id, labels } = container;
  const uri = labels[restartLabels.logUri] === undefined ? logOf(context, container) : undefined;
  const isNew = labels[restartLabels.status] === undefined && policy.name !== "no" && (await runs(client, id));
  await setLabels(client, id, {
    ...policyLabels(policy, uri),
    ...(isNew ? { [restartLabels.status]: "running", [restartLabels.explicitlyStopped]: "false" } : {}),
  });
}

async function runs(client: Client, id: string): Promise<boolean> {
  const status = (await getTask(client, id))?.status;
  return status === running || status === paused;
}
