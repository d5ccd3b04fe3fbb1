import { findContainer } from "../../client/containers/find.ts";
import { dateOf, getTask } from "../../client/containers/tasks.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { isFault } from "../../lib/faults.ts";
import { healthViewOf } from "../../lib/health-labels.ts";
import type { Command, CommandContext } from "../command.ts";
import { rowOf } from "../container-list.ts";
import { forEach } from "../each.ts";
import { printJson } from "../json.ts";

export const command: Command = {
  summary: "Show all that is known of a container",
  usage: "CONTAINER...",
  options: [],
  examples: [
    ["lighter inspect web", "everything, as JSON"],
    ["lighter inspect web | jq '.[0].spec.mounts'", "one part of it"],
  ],
  words: [1, Number.MAX_SAFE_INTEGER],
  completes: "container",
  json: true,
  run: async (context) => {
    const found: object[] = [];
    const code = await forEach(context, context.args.positional, "inspect", async (word) => {
      found.push(await describe(context, await findContainer(context.client, word)));
    });
    if (found.length > 0) printJson(context.output, found);
    return code;
  },
};

async function describe(context: CommandContext, container: Container): Promise<object> {
  const task = await getTask(context.client, container.id);
  const { state, pid, startedAt, exitStatus, exitedAt, createdAt, restart } = rowOf(container, task);
  return {
    id: container.id,
    namespace: context.namespace,
    image: container.image,
    state: { status: state, pid, startedAt, exitStatus, exitedAt },
    restart,
    health: await healthOf(context, container),
    createdAt,
    updatedAt: dateOf(container.updatedAt),
    runtime: container.runtime?.name,
    snapshotter: container.snapshotter,
    snapshotKey: container.snapshotKey,
    labels: container.labels,
    stdio:
      task === undefined
        ? undefined
        : { stdin: task.stdin, stdout: task.stdout, stderr: task.stderr, terminal: task.terminal },
    extensions: container.extensions,
    spec: jsonOf(container.spec?.value),
  };
}

/** With its last checks where the daemon knows them; containerd itself checks nothing. */
async function healthOf({ client }: CommandContext, { id, labels }: Container): Promise<object | undefined> {
  const label = healthViewOf(labels);
  if (label === undefined) return undefined;
  try {
    const { status, failingStreak, probes } = await client.health.get({ containerId: id });
    if (status === "") return label;
    const shown = probes.map(({ startedAt, endedAt, exitCode, output }) => ({
      startedAt: dateOf(startedAt),
      endedAt: dateOf(endedAt),
      exitCode,
      output,
    }));
    return { status, failingStreak, probes: shown };
  } catch (error) {
    if (isFault(error, "notImplemented")) return label;
    throw error;
  }
}

function jsonOf(bytes: Uint8Array | undefined): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes));
  } catch {
    // A spec of another kind is shown as it is.
    return bytes;
  }
}
