import { existsSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { type ContainerPlace, copyFrom, copyTo } from "../../client/transfers/container-copies.ts";
import type { Command, CommandContext } from "../command.ts";
import {
  type CopyWord,
  copyWord,
  followed,
  lastName,
  lookHere,
  meansContent,
  placeOf,
  sourceIn,
  targetHere,
  targetIn,
} from "../copy-places.ts";
import { fileTar, folderEntry, folderTar, makeFolder, untar, untarAs } from "../local-tar.ts";
import { writeAll } from "../output.ts";
import { type Progress, startProgress } from "../progress.ts";
import { formatBytes } from "../units.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Copy files into a container, or out of it",
  usage: "[OPTIONS] CONTAINER:PATH PATH|-  |  PATH|- CONTAINER:PATH",
  description:
    "Running or not. A folder that is there takes what is copied under its own name; PATH/. copies what is in a folder. " +
    "- is a tar archive on standard output or input. Files in a container are root's, and those here yours, unless -a keeps owners.",
  options: [
    { long: "archive", short: "a", help: "Keep owners" },
    { long: "follow-link", short: "L", help: "Copy what a link leads to, and not the link" },
    { long: "quiet", short: "q", help: "Say nothing of what was copied" },
  ],
  examples: [
    ["lighter cp app.conf web:/etc/app/", "a file into a container"],
    ["lighter cp web:/var/log ./logs", "a folder out of it"],
    ["lighter cp web:/etc - | tar -t", "as a tar archive"],
  ],
  words: [2, 2],
  completes: "container",
  run: async (context) => {
    const [from = here(""), to = here("")] = context.args.positional.map((word) => copyWord(word));
    if (from.kind === "container") {
      if (to.kind !== "container") await copyOut(context, await placeOf(context, from), to);
      else throw new UsageError("both are in containers", "copy to a folder or - first, and from there");
    } else if (to.kind === "container") await copyIn(context, from, await placeOf(context, to));
    else throw new UsageError("neither is in a container", "a container's path is CONTAINER:PATH");
    return 0;
  },
};

type Here = Exclude<CopyWord, { kind: "container" }>;

function here(path: string): CopyWord {
  return { kind: "here", path };
}

async function copyOut(context: CommandContext, given: ContainerPlace, to: Here): Promise<void> {
  const { args, output } = context;
  const place = args.flag("follow-link") ? await followed(context, given) : given;
  if (to.kind === "stream") {
    if (output.terminal) throw new UsageError("an archive is not for a terminal", "pipe it on, or name a folder");
    for await (const bytes of copyFrom(context.client, place)) writeAll(1, bytes);
    return;
  }
  const isFolder = (await sourceIn(context, place)).kind === "directory";
  const target = targetHere(to.path);
  if (isFolder && target === "file") throw new CommandError(`copy to ${to.path}: a folder can't replace a file`);
  if (target === "nothing") requireParent(to.path, isFolder);
  await shown(context, nameOf(place), to.path, async (count) => {
    const chunks = counted(copyFrom(context.client, place), count);
    const owners = args.flag("archive");
    if (target === "folder") return untar(to.path, chunks, { owners });
    if (!isFolder) return untarAs(to.path, chunks, { owners });
    makeFolder(to.path);
    // Under the name that it has there, or none where only what is in it is wanted.
    return untar(to.path, chunks, { owners, stripFirst: !meansContent(place.path) });
  });
}

async function copyIn(context: CommandContext, from: Here, to: ContainerPlace): Promise<void> {
  const { client, args } = context;
  const preserveOwnership = args.flag("archive");
  if (from.kind === "stream") {
    await copyTo(client, to, Bun.stdin.stream(), { preserveOwnership });
    return;
  }
  const follow = args.flag("follow-link");
  const kind = lookHere(from.path, follow);
  const target = await targetIn(context, to);
  if (kind === "folder" && target === "file")
    throw new CommandError(`copy to ${nameOf(to)}: a folder can't replace a file`);
  if (kind !== "folder" && target !== "folder" && to.path.endsWith("/")) {
    throw new CommandError(`copy to ${nameOf(to)}: no such folder`);
  }
  await shown(context, from.path, nameOf(to), async (count) => {
    const put = (path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> =>
      copyTo(client, { ...to, path }, counted(chunks, count), { preserveOwnership });
    const [folder, name] =
      target === "folder" ? [to.path, lastName(resolve(from.path))] : [dirname(to.path), lastName(to.path)];
    if (kind !== "folder") return put(folder, fileTar(from.path, name, follow));
    if (target === "folder" && meansContent(from.path)) return put(to.path, folderTar(from.path, follow));
    await put(folder, folderEntry(from.path, name));
    return put(join(folder, name), folderTar(from.path, follow));
  });
}

/** Errors: CommandError when what is copied would have no place. */
function requireParent(path: string, isFolder: boolean): void {
  if (!isFolder && path.endsWith("/")) throw new CommandError(`copy to ${path}: no such folder`);
  const parent = dirname(path);
  if (!existsSync(parent)) throw new CommandError(`copy to ${path}: no such folder: ${parent}`);
}

function nameOf({ containerId, path }: ContainerPlace): string {
  return `${containerId}:${path}`;
}

async function shown(
  { output, args }: CommandContext,
  from: string,
  to: string,
  action: (count: (bytes: number) => void) => Promise<void>,
): Promise<void> {
  let copied = 0;
  const quiet = args.flag("quiet");
  {
    using progress: Progress | undefined =
      quiet || !output.errorTerminal ? undefined : startProgress(output, `copying ${from}`, undefined);
    await action((bytes) => {
      copied += bytes;
      progress?.at(copied);
    });
  }
  if (!quiet) output.note(`copied ${formatBytes(copied)} to ${to}`);
}

async function* counted(source: AsyncIterable<Uint8Array>, count: (bytes: number) => void): AsyncGenerator<Uint8Array> {
  for await (const bytes of source) {
    yield bytes;
    count(bytes.length);
  }
}
