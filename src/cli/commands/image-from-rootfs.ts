import { statSync } from "node:fs";
import { type Compression, imageFromRootfs } from "../../client/images/from-rootfs.ts";
import { messageOf } from "../../lib/faults.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { startProgress } from "../progress.ts";
import { CommandError, UsageError } from "../usage-error.ts";

export const command: Command = {
  summary: "Make an image of a folder or a tar file",
  usage: "[OPTIONS] DIR|TAR NAME",
  description:
    "The folder, or the tar's content (plain, gzip or zstd; - is standard input), becomes the one layer of an OCI image. Owners, modes, " +
    "hard links, devices and extended attributes (not trusted ones) are kept; other filesystems mounted below the folder are left out.",
  options: [
    { long: "cmd", value: "WORD", many: true, help: "The command that runs when none is given; once a word" },
    { long: "entrypoint", value: "WORD", many: true, help: "What is put before every command; once a word" },
    { long: "env", short: "e", value: "NAME=VALUE", many: true, help: "Set a variable" },
    { long: "workdir", short: "w", value: "PATH", aliases: ["cwd"], help: "Working directory" },
    { long: "user", short: "u", value: "USER[:GROUP]", help: "Who commands run as" },
    { long: "label", short: "l", value: "KEY=VALUE", many: true, help: "Put a label on it" },
    {
      long: "compress",
      value: "gzip|zstd|none",
      choices: ["gzip", "zstd", "none"],
      help: "How the layer is kept (gzip)",
    },
  ],
  examples: [
    ["lighter image from-rootfs ./rootfs mybox --cmd /bin/sh", "a folder as an image"],
    ["debootstrap stable root && lighter image from-rootfs root debian:mine", "a whole distribution"],
    ["docker export c1 | lighter image from-rootfs - snapshot:1", "a container's files"],
  ],
  words: [2, 2],
  completes: "file",
  json: true,
  run: async ({ client, args, json, output }) => {
    const [source = "", name = ""] = args.positional;
    const isFolder = folderOrFile(source);
    const env = args.list("env");
    using progress = startProgress(output, `reading ${source}`, undefined);
    const image = await imageFromRootfs(client, {
      name,
      source,
      isFolder,
      compression: (args.text("compress") ?? "gzip") as Compression,
      env: env.some((word) => word.startsWith("PATH=")) ? env : [defaultPath, ...env],
      entrypoint: args.list("entrypoint"),
      cmd: args.list("cmd"),
      cwd: args.text("workdir") ?? "",
      user: args.text("user") ?? "",
      labels: labelsOf(args.list("label")),
      created: new Date(),
      onProgress: (bytes) => progress.at(bytes),
    });
    progress[Symbol.dispose]();
    if (json) printJson(output, { name: image.name, digest: image.target.digest });
    else output.line(`${image.name}  ${image.target.digest}`);
    return 0;
  },
};

const defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

function folderOrFile(source: string): boolean {
  if (source === "-") return false;
  try {
    return statSync(source).isDirectory();
  } catch (error) {
    const why = (error as { code?: string }).code === "ENOENT" ? "no such file or folder" : messageOf(error);
    throw new CommandError(`from-rootfs ${source}: ${why}`);
  }
}

function labelsOf(words: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    words.map((word) => {
      const at = word.indexOf("=");
      if (at < 1) throw new UsageError(`option --label: ${JSON.stringify(word)} is not KEY=VALUE`);
      return [word.slice(0, at), word.slice(at + 1)];
    }),
  );
}
