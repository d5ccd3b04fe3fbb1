import { dirname } from "node:path";
import type { Handback, HandbackItem, HandbackState } from "../../core/takeover/index.ts";
import { FaultError } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { printJson } from "../json.ts";
import { type Column, printTable } from "../table.ts";

export const command: Command = {
  summary: "Say what a containerd would not find, were it started on this root again",
  usage: "[OPTIONS]",
  description:
    "lighterd that took a root over leaves containerd's own records as they were. This compares them with what is there now, and writes nothing. Ends with 0 when containerd would find everything as it is, else with 1. To go back: stop lighterd, start containerd.",
  options: [{ long: "root", value: "DIR", help: "The daemon's root; asked of the daemon without" }],
  examples: [
    ["lighter handback", "before going back to containerd"],
    ["lighter handback --json", "the same for programs"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { output, json } = context;
    const [{ compareForHandback }, { currentStore }, { openClient }] = await Promise.all([
      import("../../core/takeover/index.ts"),
      import("../current-store.ts"),
      import("../../client/client.ts"),
    ]);
    const { root, snapshotterRoots } = await placesOf(context);
    const { client, address } = context;
    const current = currentStore(client, (namespace) => openClient({ address, namespace }));
    const handback = await compareForHandback({ root, snapshotterRoots }, current);
    if (json) printJson(output, handback);
    else print(context, handback);
    return handback.items.length === 0 && !handback.hasRunSince ? 0 : 1;
  },
};

/** Where the daemon keeps things, as it says itself. Errors: failedPrecondition, when it is no lighterd. */
async function placesOf({
  client,
  args,
}: CommandContext): Promise<{ root: string; snapshotterRoots: Map<string, string> }> {
  const { plugins } = await client.introspection.plugins({});
  const exported = (type: string, id: string, name: string): string | undefined =>
    plugins.find((plugin) => plugin.type === type && plugin.id === id)?.exports[name];
  const snapshotterRoots = new Map<string, string>();
  for (const name of ["overlayfs", "native"]) {
    const root = exported("io.containerd.snapshotter.v1", name, "root");
    if (root !== undefined) snapshotterRoots.set(name, root);
  }
  const database = exported("io.containerd.metadata.v1", "bolt", "path");
  const root = args.text("root") ?? (database?.endsWith(".sqlite") === true ? dirname(dirname(database)) : undefined);
  if (root === undefined)
    throw new FaultError("failedPrecondition", "the daemon is no lighterd: there is nothing to hand back");
  return { root, snapshotterRoots };
}

/** In the order of how much they matter. */
const headings: Readonly<Record<HandbackState, string>> = {
  lost: "runs under lighter's own host: stop it first, or containerd ends it",
  missing: "known to containerd, but its bytes are gone",
  unseen: "made since: containerd will not know it, and may clear it away",
  older: "changed since: containerd knows it as it was",
  returns: "deleted since: containerd will have it again",
};

function print({ output }: CommandContext, { items, source, takenAt, hasRunSince }: Handback): void {
  if (hasRunSince)
    output.line("containerd has written to its records since the takeover: what follows compares with those.\n");
  if (items.length === 0) {
    const since = takenAt === undefined ? "" : ` since ${takenAt}`;
    output.line(`containerd would find everything as it is: nothing changed${since} (${source}).`);
    output.line("To go back: stop lighterd, start containerd.");
    return;
  }
  const columns: readonly Column<HandbackItem>[] = [
    { title: "NAMESPACE", value: ({ namespace }) => namespace },
    { title: "KIND", value: ({ kind }) => kind },
    { title: "NAME", value: ({ name }) => name, shrink: true },
    { title: "WHAT", value: ({ state }) => headings[state] },
  ];
  const order = Object.keys(headings);
  printTable(
    output,
    columns,
    items.toSorted((a, b) => order.indexOf(a.state) - order.indexOf(b.state)),
  );
}
