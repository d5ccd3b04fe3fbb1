import { collectGarbage } from "../../client/system/collect.ts";
import { readStore } from "../../client/system/read-store.ts";
import { nodeName, type StoreGraph, type StoreNode, sizeOfNodes } from "../../client/system/store-graph.ts";
import type { Command, CommandContext } from "../command.ts";
import { confirmed } from "../confirm.ts";
import { type ContainerRow, listContainers } from "../container-list.ts";
import { destroyContainer } from "../destroy-container.ts";
import { forEach } from "../each.ts";
import { printJson } from "../json.ts";
import { familiarName, objectName } from "../object-names.ts";
import { prunableImages, removeRoots, usedImages } from "../prune-images.ts";
import { printable } from "../table.ts";
import { formatBytes, parseDuration, plural } from "../units.ts";

export const command: Command = {
  summary: "Remove stopped containers, unused images and expired leases",
  usage: "[OPTIONS]",
  description:
    "Then collects garbage, and says what was freed. Of the images only those without a tag; with --all every one that no container is made from.",
  options: [
    { long: "all", short: "a", help: "Unused images with a tag, too" },
    { long: "until", value: "DURATION", help: "Only what has been here for longer, e.g. 24h" },
    { long: "dry-run", help: "Only show what would go" },
    { long: "force", short: "f", help: "Don't ask" },
  ],
  examples: [
    ["lighter system prune", "shows what would go, and asks"],
    ["lighter system prune -af --until 24h", "all that is unused for a day, without asking"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const { args, json, output } = context;
    const plan = await planOf(context);
    const planned = sizeOfNodes(plan.freed);
    if (args.flag("dry-run")) {
      if (json) printJson(output, { ...plainPlan(plan), freedBytes: planned });
      else for (const line of planLines(plan, `would free ${formatBytes(planned)}`)) output.line(line);
      return 0;
    }
    if (isEmpty(plan) && plan.freed.length === 0) {
      if (json) printJson(output, { ...plainPlan(plan), freedBytes: 0 });
      else output.note(`nothing to remove${args.flag("all") ? "" : "; --all takes unused images with a tag too"}`);
      return 0;
    }
    if (!confirmed(context, planLines(plan, `This frees ${formatBytes(planned)}.`), "lighter system prune")) return 1;
    return await carryOut(context, plan);
  },
};

interface Plan {
  readonly graph: StoreGraph;
  readonly containers: readonly StoreNode[];
  readonly images: readonly StoreNode[];
  readonly leases: readonly StoreNode[];
  readonly leftovers: readonly StoreNode[];
  /** All that goes, with what hangs on it. */
  readonly freed: readonly StoreNode[];
}

/** A container without a task may be about to get one. */
const youngMs = 60_000;

async function planOf({ client, args }: CommandContext): Promise<Plan> {
  const until = args.text("until");
  const before = Date.now() - (until === undefined ? 0 : parseDuration(until, "--until"));
  const [graph, rows, used] = await Promise.all([
    readStore(client, { measure: true }),
    listContainers(client),
    usedImages(client),
  ]);
  const stopped = rows.filter((row) => isStopped(row, before));
  const names = new Set(stopped.map(({ id }) => id));
  const containers = graph.ofKind("container").filter(({ key }) => names.has(key));
  const kept = new Set(rows.filter(({ id }) => !names.has(id)).map(({ image }) => image));
  const images = prunableImages(graph, {
    all: args.flag("all"),
    until: until === undefined ? undefined : new Date(before),
    used: new Set([...used].filter((image) => kept.has(image))),
  });
  const leases = graph.ofKind("lease").filter(({ root }) => !root);
  const leftovers = graph.unused().filter(({ kind }) => kind !== "lease" && kind !== "image");
  const freed = [...graph.freedBy([...containers, ...images]), ...leftovers];
  return { graph, containers, images, leases, leftovers, freed };
}

function isStopped({ state, createdAt, exitedAt }: ContainerRow, before: number): boolean {
  if (state === "exited") return (exitedAt ?? createdAt).getTime() <= before;
  return state === "created" && createdAt.getTime() <= Math.min(before, Date.now() - youngMs);
}

function isEmpty({ containers, images, leases }: Plan): boolean {
  return containers.length + images.length + leases.length === 0;
}

function planLines(plan: Plan, last: string): string[] {
  const group = (word: string, nodes: readonly StoreNode[], name: (node: StoreNode) => string): string[] =>
    nodes.length === 0 ? [] : [`${plural(nodes.length, word)}:`, ...nodes.map((node) => `  ${printable(name(node))}`)];
  return [
    ...group("stopped container", plan.containers, ({ key }) => key),
    ...group("unused image", plan.images, ({ key }) => familiarName(key)),
    ...group("expired lease", plan.leases, ({ key }) => key),
    ...group("leftover", plan.leftovers, objectName),
    last,
  ];
}

function plainPlan({ containers, images, leases }: Plan): Record<string, unknown> {
  const keys = (nodes: readonly StoreNode[]): string[] => nodes.map(({ key }) => key);
  return { containers: keys(containers), images: keys(images), leases: keys(leases) };
}

async function carryOut(context: CommandContext, plan: Plan): Promise<number> {
  const { client, json, output } = context;
  const tell = (line: string): void => {
    if (!json) output.line(line);
  };
  const removed: string[] = [];
  const ids = plan.containers.map(({ key }) => key);
  const code = await forEach(context, ids, "system prune", async (id) => {
    const { container } = await client.containers.get({ id });
    if (container !== undefined) await destroyContainer(context, container, false);
    removed.push(id);
    tell(`container ${printable(id)}`);
  });
  await removeRoots(client, plan.graph, [...plan.images, ...plan.leases], (node) => tell(printable(objectName(node))));
  await collectGarbage(client);
  const after = await readStore(client, { measure: false });
  const freedBytes = sizeOfNodes(plan.freed.filter(({ kind, key }) => !after.nodes.has(nodeName(kind, key))));
  if (json) printJson(output, { ...plainPlan(plan), containers: removed, freedBytes });
  else output.note(`freed ${formatBytes(freedBytes)}`);
  return code;
}
