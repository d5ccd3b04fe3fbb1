import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { type Duration, DurationSchema } from "@bufbuild/protobuf/wkt";
import {
  type CheckResponse_ProblemSchema,
  type CheckResponseSchema,
  type DiskUsageResponseSchema,
  type ExplainResponseSchema,
  System,
} from "../../gen/lighter/system/v1/system_pb.ts";
import type { Ctx } from "../../lib/ctx.ts";
import { fault, notFound, quote } from "../../lib/faults.ts";
import { apiVersion } from "../../lib/version.ts";
import type { DaemonUpgrades } from "../../plugin/index.ts";
import { defineService, type ServiceDefinition } from "../../wire/service.ts";
import type { DiskUsage, GarbageCollector, ResourceNode } from "../gc/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { Checkable, ImageUnpacker, Problem } from "./system.ts";
import { unpackImage } from "./unpack-image.ts";

export interface SystemServiceOptions {
  readonly gc: GarbageCollector;
  /** The stores that a check looks at. */
  readonly stores: readonly Checkable[];
  readonly snapshotters: readonly string[];
  readonly unpacker: ImageUnpacker;
  readonly upgrades?: DaemonUpgrades | undefined;
}

/** The most problems that an answer carries. */
const mostProblems = 1000;

/** What is ours alone about the daemon's stores. */
export function createSystemService({
  gc,
  stores,
  snapshotters,
  unpacker,
  upgrades,
}: SystemServiceOptions): ServiceDefinition {
  return defineService(System, {
    collectGarbage: async (ctx) => {
      ctx.step = "waits for a collection";
      const { alive, removed, busyMs, longestMs, elapsedMs } = await gc.collect(ctx);
      return {
        alive: BigInt(alive),
        removed: [...removed].map(([kind, objects]) => ({ kind, objects: BigInt(objects) })),
        elapsed: durationOf(elapsedMs),
        busy: durationOf(busyMs),
        longestPause: durationOf(longestMs),
      };
    },
    explain: async (ctx, { name, kind }) => {
      const nodes = candidates(requireNamespace(ctx), name, snapshotters).filter(
        (one) => kind === "" || one.kind === kind,
      );
      return explainAll(gc, ctx, nodes, name);
    },
    diskUsage: async (ctx) => encodeUsage(await gc.usage(ctx)),
    check: (ctx, { deep }) => checkAll(stores, ctx, deep),
    unpack: (ctx, request) => unpackImage(ctx, unpacker, request),
    upgrade: async (_ctx, { path }) => {
      if (upgrades === undefined) throw fault("notImplemented", "this daemon can't be replaced while it runs");
      return { pid: await upgrades.begin(path) };
    },
    upgradeState: () => ({
      pid: process.pid,
      version: apiVersion,
      underWay: upgrades?.underWay ?? false,
      failure: upgrades?.failure ?? "",
    }),
  });
}

/** Every object that a name may mean. */
function candidates(namespace: string, name: string, snapshotters: readonly string[]): ResourceNode[] {
  const kinds = ["image", "content", "container", "lease", "ingest", "snapshot"];
  return [
    ...kinds.map((kind) => ({ kind, namespace, key: name })),
    ...snapshotters.map((one) => ({ kind: "snapshot", namespace, key: `${one}/${name}` })),
  ];
}

async function explainAll(
  gc: GarbageCollector,
  ctx: Ctx,
  nodes: readonly ResourceNode[],
  name: string,
): Promise<MessageInitShape<typeof ExplainResponseSchema>> {
  const explanations = [];
  for (const node of nodes) {
    if (!gc.exists(node)) continue;
    const path = (await gc.explain(ctx, node)) ?? [];
    explanations.push({
      object: objectOf(node),
      path: path.map((link) => ({ object: objectOf(link.node), how: link.how })),
    });
  }
  if (explanations.length === 0) throw notFound(`object ${quote(name)}`);
  return { explanations };
}

function encodeUsage({ kinds, unused, holders }: DiskUsage): MessageInitShape<typeof DiskUsageResponseSchema> {
  return {
    kinds: [...kinds].map(([kind, { objects, sizeBytes }]) => ({
      kind,
      objects: BigInt(objects),
      size: BigInt(sizeBytes),
    })),
    unusedObjects: BigInt(unused.objects),
    unusedSize: BigInt(unused.sizeBytes),
    holders: holders.map(({ node, objects, sizeBytes, uniqueBytes }) => ({
      object: objectOf(node),
      objects: BigInt(objects),
      size: BigInt(sizeBytes),
      uniqueSize: BigInt(uniqueBytes),
    })),
  };
}

async function checkAll(
  stores: readonly Checkable[],
  ctx: Ctx,
  deep: boolean,
): Promise<MessageInitShape<typeof CheckResponseSchema>> {
  const problems: MessageInitShape<typeof CheckResponse_ProblemSchema>[] = [];
  let count = 0;
  const report = (problem: Problem): void => {
    count++;
    if (problems.length < mostProblems) problems.push(encodeProblem(problem));
  };
  const totals = new Map<string, number>();
  for (const store of stores) {
    const counts = await store.check({ deep, signal: ctx.signal, report });
    for (const [what, found] of Object.entries(counts)) totals.set(what, (totals.get(what) ?? 0) + found);
  }
  const total = (what: string): bigint => BigInt(totals.get(what) ?? 0);
  return {
    problems,
    problemCount: BigInt(count),
    blobs: total("blobs"),
    ingests: total("ingests"),
    snapshots: total("snapshots"),
  };
}

function encodeProblem({ node, ...rest }: Problem): MessageInitShape<typeof CheckResponse_ProblemSchema> {
  return node === undefined ? rest : { ...rest, object: objectOf(node) };
}

function objectOf({ kind, namespace, key }: ResourceNode): { kind: string; namespace: string; key: string } {
  return { kind, namespace, key };
}

function durationOf(ms: number): Duration {
  const seconds = Math.floor(ms / 1000);
  return create(DurationSchema, { seconds: BigInt(seconds), nanos: Math.floor((ms - seconds * 1000) * 1e6) });
}
