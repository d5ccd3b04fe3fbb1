import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import type { BoltFile } from "../../lib/bolt/index.ts";
import { quote } from "../../lib/faults.ts";
import { contentLayout } from "../content/index.ts";
import { type OldRecord, type OldSnapshot, readRecords, schemaVersion } from "./old-records.ts";
import { type BackendSnapshot, type OldSnapshotter, readSnapshotter } from "./old-snapshots.ts";
import { countFirstRuntime, findTasks, type OldTask } from "./old-tasks.ts";
import { contentRoot, ownSnapshotters, snapshotFolder, snapshotterRoot, type TakeoverSource } from "./source.ts";
import { createTurns } from "./turns.ts";

/** How many records of each sort a namespace has that come over. */
export interface NamespaceCounts {
  readonly namespace: string;
  images: number;
  containers: number;
  sandboxes: number;
  blobs: number;
  ingests: number;
  snapshots: number;
  leases: number;
}

/** A snapshotter whose snapshots come over. */
export interface PlannedSnapshotter {
  readonly name: string;
  readonly root: string;
  readonly old: OldSnapshotter;
  /** The number that lighter gives first. */
  readonly firstId: number;
}

/** What a takeover would do, and what it needs to do it. */
export interface TakeoverPlan {
  /** containerd's database. */
  readonly path: string;
  readonly sizeBytes: number;
  readonly transaction: bigint;
  readonly schema: number;
  readonly namespaces: readonly NamespaceCounts[];
  readonly snapshotters: readonly PlannedSnapshotter[];
  readonly tasks: readonly OldTask[];
  /** What stays behind, and why. */
  readonly notes: readonly string[];
  /** Whether a record comes over. */
  readonly takes: (record: OldRecord) => boolean;
  /** What the snapshotter's own database says of a snapshot that comes over. */
  readonly backendOf: (snapshot: OldSnapshot) => BackendSnapshot | undefined;
}

/**
 * How many numbers are left free after the last that containerd gave: it goes on from there when it is started again,
 * and must not find a folder of lighter's in its way before its first clean-up.
 */
const idGap = 10_000;

/** Newer versions add to the schema; what they added is not known here. Source: containerd core/metadata/db.go, dbVersion. */
const newestSchema = 4;

const countedAs: Readonly<Record<OldRecord["kind"], keyof Omit<NamespaceCounts, "namespace"> | undefined>> = {
  namespace: undefined,
  unknown: undefined,
  image: "images",
  container: "containers",
  sandbox: "sandboxes",
  blob: "blobs",
  ingest: "ingests",
  snapshot: "snapshots",
  lease: "leases",
};

/**
 * Reads everything once and says what would come over.
 * Errors: dataLoss (a database that is damaged), unknown (the system's). Effects: reads only, a millisecond at a time.
 */
export async function planTakeover(source: TakeoverSource, file: BoltFile): Promise<TakeoverPlan> {
  const snapshotters = new Map<string, PlannedSnapshotter>();
  for (const name of ownSnapshotters) {
    const planned = await plannedSnapshotter(source, name);
    if (planned !== undefined) snapshotters.set(name, planned);
  }
  const survey = new Survey(source, snapshotters);
  const turn = createTurns();
  for (const record of readRecords(file.root)) {
    survey.see(record);
    await turn();
  }
  const chains = new Chains(snapshotters, survey.names);
  const takes = (record: OldRecord): boolean =>
    survey.takes(record) && (record.kind !== "snapshot" || chains.has(record));
  const namespaces = new Map<string, NamespaceCounts>();
  for (const record of readRecords(file.root)) {
    count(namespaces, record, takes(record));
    survey.judge(record, takes(record));
    await turn();
  }
  const { state, searchPath } = source;
  const tasks = await findTasks({ state, searchPath, runtimeOf: survey.runtimeOf });
  const schema = schemaVersion(file.root);
  return {
    path: file.path,
    sizeBytes: file.sizeBytes,
    transaction: file.transaction,
    schema,
    namespaces: [...namespaces.values()],
    snapshotters: [...snapshotters.values()],
    tasks,
    notes: [...schemaNotes(schema), ...survey.notes(), ...(await taskNotes(state, tasks))],
    takes,
    backendOf: ({ snapshotter, backendName }) => snapshotters.get(snapshotter)?.old.byName.get(backendName),
  };
}

async function plannedSnapshotter(source: TakeoverSource, name: string): Promise<PlannedSnapshotter | undefined> {
  const root = snapshotterRoot(source, name);
  const old = await readSnapshotter(join(root, "metadata.db"));
  if (old === undefined) return undefined;
  const ids = [...old.byName.values()].map(({ id }) => id);
  const folders = existsSync(join(root, "snapshots")) ? readdirSync(join(root, "snapshots")) : [];
  const numbers = folders.filter((folder) => /^[1-9][0-9]{0,14}$/.test(folder)).map(Number);
  const last = [...ids, ...numbers].reduce((most, id) => Math.max(most, id), old.sequence);
  return { name, root, old, firstId: last + idGap };
}

function count(namespaces: Map<string, NamespaceCounts>, record: OldRecord, taken: boolean): void {
  const { namespace, kind } = record;
  let counts = namespaces.get(namespace);
  if (counts === undefined) {
    counts = { namespace, images: 0, containers: 0, sandboxes: 0, blobs: 0, ingests: 0, snapshots: 0, leases: 0 };
    namespaces.set(namespace, counts);
  }
  const column = countedAs[kind];
  if (column !== undefined && taken) counts[column] += 1;
}

function schemaNotes(schema: number): string[] {
  if (schema <= newestSchema) return [];
  return [`the database has schema ${schema}, newer than the ${newestSchema} that is known: what it added is not read`];
}

async function taskNotes(state: string, tasks: readonly OldTask[]): Promise<string[]> {
  const dead = tasks.filter(({ isRunning }) => !isRunning).length;
  const first = await countFirstRuntime(state);
  return [
    ...(dead === 0 ? [] : [`tasks without a shim are cleaned up, and their ends told (${dead})`]),
    ...(first === 0
      ? []
      : [`tasks of the runtime io.containerd.runtime.v1.linux are not taken over: stop them (${first})`]),
  ];
}

/** How many names a note shows. */
const shownNames = 3;

/** What is learnt of the records on the way. */
class Survey {
  readonly #layout: ReturnType<typeof contentLayout>;
  readonly #snapshotters: ReadonlyMap<string, PlannedSnapshotter>;
  readonly #present = new Map<string, boolean>();
  readonly #runtimes = new Map<string, string>();
  readonly #left = new Map<string, string[]>();
  /** Whose a backend's snapshot is: by the snapshotter and its name there. */
  readonly names = new Map<string, string>();

  constructor(source: TakeoverSource, snapshotters: ReadonlyMap<string, PlannedSnapshotter>) {
    this.#layout = contentLayout(contentRoot(source.root));
    this.#snapshotters = snapshotters;
  }

  readonly runtimeOf = (namespace: string, id: string): string | undefined => this.#runtimes.get(`${namespace}/${id}`);

  see(record: OldRecord): void {
    if (record.kind === "container") {
      const { id, runtime } = record.container;
      this.#runtimes.set(`${record.namespace}/${id}`, runtime?.name ?? "");
    } else if (record.kind === "blob") {
      const { digest } = record.info;
      if (!this.#present.has(digest)) this.#present.set(digest, existsSync(this.#layout.blob(digest)));
    } else if (record.kind === "snapshot") {
      const name = backendKey(record.snapshot);
      if (!this.names.has(name)) this.names.set(name, ownerKey(record.namespace, record.snapshot));
    }
  }

  takes(record: OldRecord): boolean {
    if (record.kind === "unknown") return false;
    return record.kind !== "blob" || this.#present.get(record.info.digest) === true;
  }

  /** Notes why a record stays behind, or what it lacks. */
  judge(record: OldRecord, taken: boolean): void {
    if (record.kind === "unknown") this.#leave("collections of records are of a sort that is not known", record.name);
    else if (record.kind === "blob" && !taken) this.#leave("blobs have no file and stay behind", record.info.digest);
    else if (record.kind === "snapshot") this.#judgeSnapshot(record.snapshot, taken);
  }

  #judgeSnapshot(snapshot: OldSnapshot, taken: boolean): void {
    const { snapshotter, key, backendName } = snapshot;
    const planned = this.#snapshotters.get(snapshotter);
    if (planned === undefined) {
      this.#leave(`snapshots of the snapshotter ${quote(snapshotter)}, which is not lighter's own, stay behind`, key);
    } else if (!taken) {
      this.#leave(`snapshots of ${snapshotter} are not whole in its own database and stay behind`, key);
    } else {
      const backend = planned.old.byName.get(backendName);
      const shares = snapshotter === "native" && backend?.kind === "view" && backend.parent !== "";
      if (backend !== undefined && !shares && !existsSync(snapshotFolder(planned.root, snapshotter, backend.id)))
        this.#leave(`snapshots of ${snapshotter} have no folder`, key);
    }
  }

  notes(): string[] {
    return [...this.#left].map(([why, names]) => {
      const shown = names.slice(0, shownNames).map(quote).join(", ");
      return `${why} (${names.length}): ${shown}${names.length > shownNames ? ", ..." : ""}`;
    });
  }

  #leave(why: string, name: string): void {
    const names = this.#left.get(why);
    if (names === undefined) this.#left.set(why, [name]);
    else names.push(name);
  }
}

/** Which snapshots are whole: known to their backend, with every ancestor coming over as well. */
class Chains {
  readonly #snapshotters: ReadonlyMap<string, PlannedSnapshotter>;
  readonly #names: ReadonlyMap<string, string>;
  readonly #whole = new Map<string, boolean>();

  constructor(snapshotters: ReadonlyMap<string, PlannedSnapshotter>, names: ReadonlyMap<string, string>) {
    this.#snapshotters = snapshotters;
    this.#names = names;
  }

  /** Of a backend's snapshot that two namespaces name, the first has it: here a folder is one snapshot's. */
  has({ namespace, snapshot }: { readonly namespace: string; readonly snapshot: OldSnapshot }): boolean {
    if (this.#names.get(backendKey(snapshot)) !== ownerKey(namespace, snapshot)) return false;
    const planned = this.#snapshotters.get(snapshot.snapshotter);
    return planned !== undefined && this.#isWhole(planned, snapshot.backendName);
  }

  #isWhole({ name: snapshotter, old }: PlannedSnapshotter, first: string): boolean {
    const chain = new Set<string>();
    let whole = true;
    for (let name = first; name !== ""; ) {
      const key = backendKey({ snapshotter, backendName: name });
      const backend = old.byName.get(name);
      const known = this.#whole.get(key);
      if (known === true) break;
      // A chain that comes back to itself has no end.
      if (known === false || backend === undefined || backend.id < 1 || chain.has(key) || !this.#names.has(key)) {
        whole = false;
        break;
      }
      chain.add(key);
      name = backend.parent;
    }
    for (const key of chain) this.#whole.set(key, whole);
    return whole;
  }
}

function backendKey({ snapshotter, backendName }: Pick<OldSnapshot, "snapshotter" | "backendName">): string {
  return `${snapshotter}\n${backendName}`;
}

function ownerKey(namespace: string, { key }: OldSnapshot): string {
  return `${namespace}\n${key}`;
}
