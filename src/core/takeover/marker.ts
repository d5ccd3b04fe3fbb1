import { readFile, rename } from "node:fs/promises";
import { join } from "node:path";
import { FaultError, quote } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import { writeDurably } from "./durable-files.ts";
import type { TakeoverPlan } from "./plan.ts";
import { metadataFolder } from "./source.ts";

/** What was taken over, and when: beside both databases, for the next start and for people. */
export interface TakeoverMarker {
  readonly source: string;
  /** The newest transaction of the source: another one, and containerd has run since. */
  readonly transaction: bigint;
  readonly takenAt: string;
  /** The first processes of the tasks that were adopted: a containerd that comes back finds them again. */
  readonly pids: ReadonlySet<number>;
}

const schema = 1;

function markerPath(root: string): string {
  return join(metadataFolder(root), "takeover.json");
}

/** Errors: dataLoss (not what this program wrote). */
export async function readMarker(root: string): Promise<TakeoverMarker | undefined> {
  const path = markerPath(root);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
  const given: unknown = parse(text);
  if (
    typeof given === "object" &&
    given !== null &&
    "transaction" in given &&
    "source" in given &&
    "takenAt" in given
  ) {
    const { source, transaction, takenAt } = given;
    if (typeof transaction === "string" && /^\d{1,20}$/.test(transaction))
      return {
        source: String(source),
        transaction: BigInt(transaction),
        takenAt: String(takenAt),
        pids: pidsOf(given),
      };
  }
  throw new FaultError("dataLoss", `${quote(path)} cannot be read; remove it, or restore it`);
}

/** Effects: durable, whole or not at all. */
export async function writeMarker(root: string, plan: TakeoverPlan, takenAt: string): Promise<void> {
  const { path: source, transaction, namespaces } = plan;
  const tasks = plan.tasks.map(({ namespace, id, pid }) => ({ namespace, id, pid }));
  const marker = { schema, source, transaction: String(transaction), takenAt, namespaces, tasks };
  const half = `${markerPath(root)}.new`;
  await writeDurably(half, `${JSON.stringify(marker, undefined, 2)}\n`);
  await rename(half, markerPath(root));
}

function pidsOf(given: object): ReadonlySet<number> {
  const tasks: unknown = "tasks" in given ? given.tasks : [];
  const all: readonly unknown[] = Array.isArray(tasks) ? tasks : [];
  return new Set(
    all.flatMap((task) =>
      typeof task === "object" && task !== null && "pid" in task && typeof task.pid === "number" ? task.pid : [],
    ),
  );
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Said by the caller, with the file's name.
    return undefined;
  }
}
