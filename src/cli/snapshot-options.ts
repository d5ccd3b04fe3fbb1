import { namespaceDefaults } from "../client/containers/create.ts";
import type { OptionSpec } from "./args.ts";
import type { CommandContext } from "./command.ts";

export const snapshotterOption: OptionSpec = {
  long: "snapshotter",
  value: "NAME",
  help: "Which snapshotter ($CONTAINERD_SNAPSHOTTER, else the namespace's, else overlayfs)",
};

/** The snapshotter that a command line means. */
export async function snapshotterOf({ args, env, client }: CommandContext): Promise<string> {
  const given = args.text("snapshotter") ?? env["CONTAINERD_SNAPSHOTTER"];
  return given === undefined || given === "" ? (await namespaceDefaults(client)).snapshotter : given;
}
