import { existsSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type BoltFile, openBolt } from "../../lib/bolt/index.ts";
import { createFailpoint, failpointVariable } from "../../lib/failpoints.ts";
import { FaultError, wrapFault } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Kernel } from "../../sys/index.ts";
import { openMetadata, type SchemaPart } from "../metadata/index.ts";
import { syncPath } from "./durable-files.ts";
import { importRecords } from "./import-records.ts";
import { readMarker, writeMarker } from "./marker.ts";
import { markTasks } from "./old-tasks.ts";
import { planTakeover, type TakeoverPlan } from "./plan.ts";
import { metadataFolder, oldDatabase, type TakeoverSource } from "./source.ts";
import { lockSource } from "./source-lock.ts";

/**
 * When a store is taken over: `auto`, where lighter has no records of its own yet; `again`, also where it has, which are then
 * kept aside; `never`.
 */
export type TakeoverMode = "auto" | "again" | "never";

export interface TakeoverOptions extends TakeoverSource {
  readonly mode: TakeoverMode;
  readonly schemas: readonly SchemaPart[];
  readonly kernel: Pick<Kernel, "tryLock">;
  readonly log: Logger;
  readonly now: () => string;
}

/** For tests: what a takeover may die after. */
type Step = "planned" | "marked" | "first rows" | "imported" | "set aside" | "described" | "done";

/** A root that no containerd can serve while this is held; without effect where there never was one. */
export interface TakenRoot extends Disposable {
  /** What was taken over just now. */
  readonly plan: TakeoverPlan | undefined;
}

/**
 * Takes over what a containerd left below a root, when that is due.
 * Errors: failedPrecondition (containerd runs; it has run since the takeover; there is nothing to take over), dataLoss (its
 * database is damaged). Nothing has changed then.
 * Effects: all or nothing, whenever the process dies: records are written to a file beside, which gets its name when all are in.
 * containerd's own files are left as they are; its bundles below the state folder get a note of whose they are.
 */
export async function takeOver(options: TakeoverOptions): Promise<TakenRoot> {
  const { root, mode, kernel } = options;
  const path = oldDatabase(root);
  using stack = new DisposableStack();
  const lock = lockSource(path, kernel, "exclusive");
  if (lock !== undefined) stack.use(lock);
  else if (mode === "again")
    throw new FaultError("failedPrecondition", `there is nothing to take over: no file ${path}`);
  let plan: TakeoverPlan | undefined;
  if (lock !== undefined && mode !== "never") {
    try {
      using file = openBolt(path);
      if (await isDue(options, file)) plan = await run(options, file);
    } catch (error) {
      throw wrapFault(`take over ${root} from containerd`, error);
    }
  }
  const owned = stack.move();
  return { plan, [Symbol.dispose]: () => owned.dispose() };
}

/** Says what a takeover would do. Errors: as takeOver's. Effects: none; a containerd that is started meanwhile waits. */
export async function planOf(options: Omit<TakeoverOptions, "mode" | "schemas" | "now">): Promise<TakeoverPlan> {
  const path = oldDatabase(options.root);
  using _lock = lockSource(path, options.kernel, "shared");
  using file = openBolt(path);
  return await planTakeover(options, file);
}

async function isDue({ root, mode }: TakeoverOptions, file: BoltFile): Promise<boolean> {
  if (!existsSync(ownDatabase(root))) return true;
  const marker = await readMarker(root);
  // Also where it is asked for: a service's command line may ask at every start.
  if (marker?.transaction === file.transaction) return false;
  if (mode === "again") return true;
  if (marker === undefined) return false;
  throw new FaultError(
    "failedPrecondition",
    `containerd has run since ${marker.takenAt}, when lighter took over: the records of both differ; ` +
      "--takeover takes containerd's and keeps lighter's aside, --no-takeover goes on with lighter's",
  );
}

async function run(options: TakeoverOptions, file: BoltFile): Promise<TakeoverPlan> {
  const { root, schemas, log, now } = options;
  const step = createFailpoint<Step>(process.env[failpointVariable]);
  const plan = await planTakeover(options, file);
  for (const note of plan.notes) log.warn("takeover", { note });
  step("planned");
  await markTasks(plan.tasks);
  step("marked");
  const half = `${ownDatabase(root)}.takeover`;
  await removeDatabase(half);
  await fill(half, schemas, async (metadata) => importRecords(metadata, file, plan, () => step("first rows")));
  step("imported");
  await setAside(ownDatabase(root), schemas, now());
  step("set aside");
  await writeMarker(root, plan, now());
  step("described");
  // A log that a database of this name left must not be taken for the new one's.
  await removeDatabase(ownDatabase(root));
  await rename(half, ownDatabase(root));
  await syncPath(metadataFolder(root));
  step("done");
  return plan;
}

function ownDatabase(root: string): string {
  return join(metadataFolder(root), "meta.sqlite");
}

/** Fills a new database and brings all of it to the disk, in the one file. */
async function fill(
  path: string,
  schemas: readonly SchemaPart[],
  write: (metadata: ReturnType<typeof openMetadata>) => Promise<void>,
): Promise<void> {
  {
    await using metadata = openMetadata({ path, schemas });
    await write(metadata);
  }
  if (existsSync(`${path}-wal`)) throw new FaultError("internal", `the log of ${path} was not emptied`);
  await syncPath(path);
}

/** Renames lighter's own records, which a takeover that was asked for again replaces. */
async function setAside(path: string, schemas: readonly SchemaPart[], now: string): Promise<void> {
  if (!existsSync(path)) return;
  // Opening and closing brings what a dead daemon left in its log into the file.
  await fill(path, schemas, async () => {});
  await rename(path, `${path}.${now.replaceAll(":", "")}`);
}

async function removeDatabase(path: string): Promise<void> {
  for (const suffix of ["", "-wal", "-shm", "-journal"]) await rm(`${path}${suffix}`, { force: true });
}
