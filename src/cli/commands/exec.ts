import { findContainer } from "../../client/containers/find.ts";
import { readerOf, rootfsReader } from "../../client/containers/rootfs-files.ts";
import { getTask, startProcess } from "../../client/containers/tasks.ts";
import { randomHex } from "../../client/names.ts";
import { fifoFolder } from "../../client/paths.ts";
import { type ExecOptions, execProcess } from "../../client/spec/exec-process.ts";
import type { UserSpec } from "../../client/spec/runtime-spec.ts";
import { resolveUser } from "../../client/spec/users.ts";
import { makeFifos } from "../../client/stdio/fifo-set.ts";
import type { Container } from "../../gen/containerd/services/containers/v1/containers_pb.ts";
import { isFault } from "../../lib/faults.ts";
import { createKernel } from "../../sys/index.ts";
import type { Command, CommandContext } from "../command.ts";
import { ownTerminal } from "../own-terminal.ts";
import { environment } from "../run-options.ts";
import { runSession } from "../session.ts";
import { catchSignals } from "../signals.ts";
import { CommandError } from "../usage-error.ts";

export const command: Command = {
  summary: "Run a command in a running container",
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  options: [
    { long: "detach", short: "d", help: "Don't wait for it, and drop its output" },
    { long: "interactive", short: "i", help: "Pass this command's standard input on" },
    { long: "tty", short: "t", help: "Give it a terminal" },
    { long: "env", short: "e", value: "NAME=VALUE", many: true, help: "Set a variable" },
    { long: "env-file", value: "FILE", many: true, help: "Read variables from a file" },
    { long: "workdir", short: "w", value: "PATH", aliases: ["cwd"], help: "Working directory" },
    { long: "user", short: "u", value: "USER[:GROUP]", help: "Run as this user, by name or number" },
  ],
  examples: [
    ["lighter exec -it web sh", "a shell beside what runs"],
    ["lighter exec -u nobody web id", "as another user"],
  ],
  stopAtWord: true,
  words: [2, Number.MAX_SAFE_INTEGER],
  completes: "container",
  run: runExec,
};

const typeUrl = "types.containerd.io/opencontainers/runtime-spec/1/Process";
const [running, paused] = [2, 4];

async function runExec(context: CommandContext): Promise<number> {
  const { client, args, env } = context;
  const [name = "", ...words] = args.positional;
  const container = await findContainer(client, name);
  const detach = args.flag("detach");
  const terminal = args.flag("tty") && !detach;
  const user = await userOf(context, container);
  const options = {
    args: words,
    env: environment(args, env),
    cwd: args.text("workdir"),
    user,
    terminal,
  };
  const execId = randomHex(12);
  const request = (consoleSize?: ExecOptions["consoleSize"]): Parameters<typeof client.tasks.exec>[0] => {
    const process = execProcess(container.spec?.value ?? new Uint8Array(0), { ...options, consoleSize });
    const spec = { typeUrl, value: new TextEncoder().encode(JSON.stringify(process)) };
    return { containerId: container.id, execId, spec, terminal };
  };
  if (detach) {
    await told(context, container.id, client.tasks.exec(request()));
    await startProcess(client, container.id, execId);
    return 0;
  }
  using signals = catchSignals();
  const kernel = createKernel();
  const interactive = args.flag("interactive");
  const own = terminal ? await ownTerminal(kernel, interactive) : undefined;
  try {
    using fifos = makeFifos({ kernel, root: fifoFolder(env), stdin: interactive || terminal, terminal });
    await told(context, container.id, client.tasks.exec({ ...request(own?.size()), ...fifos.paths }));
    const started = await startOrForget(context, container.id, execId);
    fifos.release();
    const end = await runSession({
      client,
      kernel,
      id: container.id,
      execId,
      fifos,
      interactive,
      terminal: own,
      tee: undefined,
      signals,
      exit: started.exit,
    });
    if (end === "detached") {
      fifos.keep();
      return 0;
    }
    await forget(context, container.id, execId);
    return end.status;
  } finally {
    own?.restore();
  }
}

async function startOrForget(context: CommandContext, id: string, execId: string): ReturnType<typeof startProcess> {
  try {
    return await startProcess(context.client, id, execId);
  } catch (error) {
    await forget(context, id, execId);
    throw error;
  }
}

async function forget(context: CommandContext, containerId: string, execId: string): Promise<void> {
  await context.client.tasks.deleteProcess({ containerId, execId }).catch(() => {
    // It goes with the container at the latest.
  });
}

/** A refusal because nothing runs is told as that. */
async function told(context: CommandContext, id: string, call: Promise<unknown>): Promise<void> {
  try {
    await call;
  } catch (error) {
    const task = await getTask(context.client, id);
    if (
      task?.status === running ||
      !(isFault(error, "notFound") || isFault(error, "failedPrecondition") || task !== undefined)
    )
      throw error;
    const isPaused = task?.status === paused;
    throw new CommandError(`container "${id}" is ${isPaused ? "paused" : "not running"}`, {
      hint: isPaused ? `lighter resume ${id} lets it go on` : `lighter start ${id} runs it again`,
      exitCode: 125,
      cause: error,
    });
  }
}

async function userOf(context: CommandContext, container: Container): Promise<UserSpec | undefined> {
  const user = context.args.text("user");
  if (user === undefined) return undefined;
  const { snapshotter, snapshotKey, spec } = container;
  if (snapshotKey === "") {
    const root = JSON.parse(new TextDecoder().decode(spec?.value)) as { root?: { path?: string } };
    return resolveUser(user, rootfsReader([root.root?.path ?? ""]));
  }
  const { mounts } = await context.client.snapshots.mounts({ snapshotter, key: snapshotKey });
  return resolveUser(user, readerOf(mounts));
}
