import { listSnapshots, type Snapshot } from "../../client/snapshots/snapshots.ts";
import { readStore } from "../../client/system/read-store.ts";
import type { StoreNode } from "../../client/system/store-graph.ts";
import type { Command } from "../command.ts";
import { printJson } from "../json.ts";
import { holdersOf, holdersText, shortSnapshot } from "../object-names.ts";
import type { Output } from "../output.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { styleOf } from "../style.ts";
import { cut, printable } from "../table.ts";

export const command: Command = {
  summary: "Show which snapshot stands on which",
  usage: "[OPTIONS]",
  options: [snapshotterOption, { long: "no-trunc", help: "Whole names" }],
  examples: [["lighter snapshot tree", "layers, and the containers that stand on them"]],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { client, args, json, output } = context;
    const snapshotter = await snapshotterOf(context);
    const [snapshots, graph] = await Promise.all([
      listSnapshots(client, snapshotter),
      readStore(client, { measure: false }),
    ]);
    const children = Map.groupBy(snapshots, ({ parent }) => parent);
    if (json) {
      printJson(output, branchesOf("", children));
      return 0;
    }
    const holders = graph.holders();
    const whole = args.flag("no-trunc");
    for (const line of treeLines(children)) {
      const held = holdersOf(holders, { kind: "snapshot", key: `${snapshotter}/${line.snapshot.name}` });
      printLine(output, line, held, whole);
    }
    return 0;
  },
};

type Children = ReadonlyMap<string, readonly Snapshot[]>;

interface TreeLine {
  readonly before: string;
  readonly snapshot: Snapshot;
}

/** Layers may be stacked deeper than calls may be nested: a list of what is to be shown next stands for calls. */
function treeLines(children: Children): TreeLine[] {
  const lines: TreeLine[] = [];
  const waiting: { readonly snapshot: Snapshot; readonly before: string; readonly beneath: string }[] = [];
  const add = (parent: string, indent: string): void => {
    const all = (children.get(parent) ?? []).toSorted((a, b) => (a.name < b.name ? -1 : 1));
    for (const [i, snapshot] of all.entries().toArray().toReversed()) {
      const last = i === all.length - 1;
      const [mark, line] = parent === "" ? ["", ""] : last ? ["└─ ", "   "] : ["├─ ", "│  "];
      waiting.push({ snapshot, before: indent + mark, beneath: indent + line });
    }
  };
  add("", "");
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    lines.push(next);
    add(next.snapshot.name, next.beneath);
  }
  return lines;
}

function printLine(output: Output, line: TreeLine, holders: readonly StoreNode[], whole: boolean): void {
  const { before, snapshot } = line;
  const style = styleOf(output.color);
  const name = printable(whole ? snapshot.name : shortSnapshot(snapshot.name));
  const kind = snapshot.kind === "committed" ? "" : ` (${snapshot.kind})`;
  const text = `${before}${name}${kind}`;
  const told = `  ${holdersText(holders)}`;
  const room = output.terminal ? output.columns - text.length : told.length;
  const shown = room < 12 ? "" : cut(printable(told), room);
  output.line(`${style.dim(before)}${name}${style.blue(kind)}${style.dim(shown)}`);
}

interface Branch {
  readonly name: string;
  readonly kind: string;
  readonly children: readonly Branch[];
}

function branchesOf(parent: string, children: Children): readonly Branch[] {
  return (children.get(parent) ?? []).map(({ name, kind }) => ({ name, kind, children: branchesOf(name, children) }));
}
