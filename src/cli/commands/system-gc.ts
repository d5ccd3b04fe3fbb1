import type { Client } from "../../client/client.ts";
import { findBlob } from "../../client/content/blobs.ts";
import { nameCandidates } from "../../client/images/names.ts";
import { findSnapshot } from "../../client/snapshots/snapshots.ts";
import { collectGarbage } from "../../client/system/collect.ts";
import { readStore } from "../../client/system/read-store.ts";
import type { StoreNode } from "../../client/system/store-graph.ts";
import type { ExplainResponse_Explanation } from "../../gen/lighter/system/v1/system_pb.ts";
import { isFault } from "../../lib/faults.ts";
import type { Command, CommandContext } from "../command.ts";
import { explanationLines, linkWords, othersLine, releaseHint } from "../explanation.ts";
import { printJson } from "../json.ts";
import { holdersOf } from "../object-names.ts";
import { snapshotterOf, snapshotterOption } from "../snapshot-options.ts";
import { styleOf } from "../style.ts";
import { systemFault } from "../system-fault.ts";
import { plural } from "../units.ts";
import { CommandError } from "../usage-error.ts";

const kinds = ["image", "container", "content", "snapshot", "lease", "ingest"];

export const command: Command = {
  summary: "Collect garbage, or explain why something is kept",
  usage: "[OPTIONS]",
  description:
    "The daemon collects by itself after removals; this does it now and waits. --explain tells by what a blob, snapshot, image, container or lease is kept: a path down from what is alive by itself.",
  options: [
    { long: "explain", value: "NAME", help: "A name, id, digest or snapshot; the beginning of a digest will do" },
    { long: "kind", value: "KIND", choices: kinds, help: "Only what is of that kind" },
    snapshotterOption,
  ],
  examples: [
    ["lighter system gc", "collect now"],
    ["lighter system gc --explain 4f4fb700ef54", "what keeps this blob or layer alive?"],
  ],
  words: [0, 0],
  json: true,
  run: async (context) => {
    const name = context.args.text("explain");
    if (name === undefined) await collect(context);
    else await explain(context, name);
    return 0;
  },
};

async function collect({ client, json, output }: CommandContext): Promise<void> {
  const answer = await collectGarbage(client);
  if (answer === undefined) {
    if (json) printJson(output, {});
    else output.line("collected; this daemon does not say what");
    return;
  }
  const [tookMs, pauseMs] = [msOf(answer.elapsed), msOf(answer.longestPause)];
  const removed = answer.removed.filter(({ objects }) => objects > 0n);
  if (json) {
    printJson(output, { alive: answer.alive, removed, tookMs, busyMs: msOf(answer.busy), longestPauseMs: pauseMs });
    return;
  }
  const told = removed.map(({ kind, objects }) => pluralOf(Number(objects), kind)).join(", ");
  output.line(told === "" ? "nothing to collect" : `removed ${told}`);
  const style = styleOf(output.color);
  const pause = pauseMs < 1 ? "less than 1 ms" : `${Math.round(pauseMs)} ms`;
  output.line(
    style.dim(
      `${plural(Number(answer.alive), "object")} alive; took ${Math.ceil(tookMs)} ms, at most ${pause} at once`,
    ),
  );
}

/** `3 snapshots`, `2 images`, `5 blobs`. */
function pluralOf(count: number, kind: string): string {
  return plural(count, { content: "blob", ingest: "unfinished blob" }[kind] ?? kind);
}

function msOf(duration: { readonly seconds: bigint; readonly nanos: number } | undefined): number {
  return duration === undefined ? 0 : Number(duration.seconds) * 1000 + duration.nanos / 1e6;
}

async function explain(context: CommandContext, name: string): Promise<void> {
  const { json, output } = context;
  const explanations = await explanationsOf(context, name).catch((error: unknown) => {
    throw systemFault(error, "system gc --explain", "lighter content ls and lighter snapshot ls say who uses what");
  });
  const others = await otherKeepers(context, explanations);
  if (json) {
    printJson(
      output,
      explanations.map(({ object, path }, index) => ({
        object,
        path: path.map(({ object: held, how }, i) => ({
          object: held,
          how,
          ...(i === 0 ? {} : { means: linkWords(how) }),
        })),
        others: others[index]?.map(({ kind, key }) => ({ kind, key })) ?? [],
      })),
    );
    return;
  }
  const { dim } = styleOf(output.color);
  for (const [index, explanation] of explanations.entries()) {
    const also = others[index] ?? [];
    for (const line of explanationLines(explanation, output.color)) output.line(line);
    const alsoLine = othersLine(also);
    if (alsoLine !== undefined) output.line(alsoLine);
    const hint = releaseHint(explanation, also.length > 0);
    if (hint !== undefined) output.line(dim(`  ${hint}`));
  }
}

/** For each explained object those that keep it besides the root that the daemon told of: it tells of the nearest. */
async function otherKeepers(
  { client }: CommandContext,
  explanations: readonly ExplainResponse_Explanation[],
): Promise<(readonly StoreNode[])[]> {
  if (explanations.every(({ path }) => path.length === 0)) return [];
  const holders = (await readStore(client, { measure: false })).holders();
  return explanations.map(({ object, path }) => {
    const root = path[0]?.object;
    if (object === undefined || root === undefined) return [];
    const node = { kind: object.kind as StoreNode["kind"], key: object.key };
    return holdersOf(holders, node).filter(({ kind, key }) => kind !== root.kind || key !== root.key);
  });
}

/** As it stands, then as a shorter form of an image's name, a digest or a snapshot. */
async function explanationsOf(context: CommandContext, name: string): Promise<ExplainResponse_Explanation[]> {
  const { client } = context;
  const kind = context.args.text("kind") ?? "";
  const ask = async (one: string): Promise<ExplainResponse_Explanation[]> =>
    (await client.system.explain({ name: one, kind })).explanations;
  for (const candidate of new Set([name, ...nameCandidates(name)])) {
    const found = await ask(candidate).catch(unlessMissing);
    if (found !== undefined) return found;
  }
  const names = await fullNames(client, await snapshotterOf(context), name);
  const found = await Promise.all(names.map((one) => ask(one).catch(unlessMissing)));
  const all = found.flatMap((one) => one ?? []);
  if (all.length > 0) return all;
  throw new CommandError(`nothing in this namespace is called ${JSON.stringify(name)}`, {
    hint: "lighter content ls, snapshot ls, image ls, ps -a and lease ls show what there is",
  });
}

async function fullNames(client: Client, snapshotter: string, name: string): Promise<string[]> {
  const blob = await findBlob(client, name).catch(unlessMissing);
  const snapshot = await findSnapshot(client, snapshotter, name).catch(unlessMissing);
  return [...new Set([blob?.digest, snapshot?.name].filter((one) => one !== undefined))];
}

function unlessMissing(error: unknown): undefined {
  if (!isFault(error, "notFound")) throw error;
  return undefined;
}
