import { existsSync } from "node:fs";
import { join } from "node:path";
import { openBolt } from "../../lib/bolt/index.ts";
import { FaultError, isFault } from "../../lib/faults.ts";
import { contentLayout } from "../content/index.ts";
import { type HandbackKind, type HandbackRecord, oldHandbackRecord } from "./handback-records.ts";
import { readMarker } from "./marker.ts";
import { type OldRecord, readRecords } from "./old-records.ts";
import { type OldSnapshotter, readSnapshotter } from "./old-snapshots.ts";
import {
  contentRoot,
  oldDatabase,
  ownSnapshotters,
  snapshotFolder,
  snapshotterRoot,
  type TakeoverSource,
} from "./source.ts";

/**
 * What of a record is not as lighter has it, once a containerd serves the root again: it was made since (`unseen`), was changed since
 * (`older`), was deleted since and comes back (`returns`), or is there without its bytes (`missing`). A task is `lost`
 * when lighter's own host runs it.
 */
export type HandbackState = "unseen" | "older" | "returns" | "missing" | "lost";

export interface HandbackItem {
  readonly state: HandbackState;
  readonly kind: HandbackKind | "task";
  readonly namespace: string;
  readonly name: string;
}

/** What lighter has, by its API. */
export interface CurrentStore {
  namespaces(): Promise<readonly { readonly name: string; readonly labels: Readonly<Record<string, string>> }[]>;
  /** Everything but the namespace itself. */
  records(namespace: string): Promise<readonly HandbackRecord[]>;
  /** Tasks that have not ended, with their first processes. */
  tasks(namespace: string): Promise<readonly { readonly id: string; readonly pid: number }[]>;
}

export interface Handback {
  readonly source: string;
  readonly takenAt: string | undefined;
  /** True when containerd wrote to its database after the takeover: then nothing here is sure. */
  readonly hasRunSince: boolean;
  readonly items: readonly HandbackItem[];
}

type HandbackSource = Pick<TakeoverSource, "root" | "snapshotterRoots">;

/**
 * Compares what lighter has with what containerd would find.
 * Errors: notFound (no containerd's database in the root), dataLoss, and the API's. Effects: reads only.
 */
export async function compareForHandback(source: HandbackSource, current: CurrentStore): Promise<Handback> {
  using file = openOld(source.root);
  const marker = await readMarker(source.root);
  const comparison = await Comparison.open(source, current);
  for (const record of readRecords(file.root)) await comparison.old(record);
  const items = await comparison.rest(marker?.pids ?? new Set());
  return {
    source: file.path,
    takenAt: marker?.takenAt,
    hasRunSince: marker !== undefined && marker.transaction !== file.transaction,
    items: items.toSorted((a, b) => (keyOf(a) < keyOf(b) ? -1 : 1)),
  };
}

function openOld(root: string): ReturnType<typeof openBolt> {
  try {
    return openBolt(oldDatabase(root));
  } catch (error) {
    if (!isFault(error, "notFound")) throw error;
    throw new FaultError("notFound", `no containerd ever served ${root}: there is no file ${oldDatabase(root)}`, {
      cause: error,
    });
  }
}

function keyOf({ namespace, kind, name }: HandbackItem): string {
  return `${namespace}\n${kind}\n${name}`;
}

class Comparison {
  readonly #layout: ReturnType<typeof contentLayout>;
  readonly #current: CurrentStore;
  readonly #snapshotters: ReadonlyMap<string, { readonly root: string; readonly old: OldSnapshotter }>;
  readonly #items: HandbackItem[] = [];
  /** What lighter has and containerd was not yet seen to have. */
  readonly #ours = new Map<string, Map<string, HandbackRecord>>();

  private constructor(
    root: string,
    snapshotters: ReadonlyMap<string, { readonly root: string; readonly old: OldSnapshotter }>,
    current: CurrentStore,
  ) {
    this.#layout = contentLayout(contentRoot(root));
    this.#current = current;
    this.#snapshotters = snapshotters;
  }

  static async open(source: HandbackSource, current: CurrentStore): Promise<Comparison> {
    const snapshotters = new Map<string, { root: string; old: OldSnapshotter }>();
    for (const name of ownSnapshotters) {
      const root = snapshotterRoot(source, name);
      const old = await readSnapshotter(join(root, "metadata.db"));
      if (old !== undefined) snapshotters.set(name, { root, old });
    }
    return new Comparison(source.root, snapshotters, current);
  }

  async old(record: OldRecord): Promise<void> {
    const theirs = oldHandbackRecord(record);
    // Of other snapshotters lighter has nothing, and has taken nothing away.
    if (theirs === undefined || (record.kind === "snapshot" && !this.#snapshotters.has(record.snapshot.snapshotter)))
      return;
    const { kind, name } = theirs;
    const { namespace } = record;
    const ours = await this.#oursOf(namespace);
    const same = ours.get(`${kind}\n${name}`);
    ours.delete(`${kind}\n${name}`);
    if (!this.#hasBytes(record)) this.#items.push({ state: "missing", kind, namespace, name });
    else if (same === undefined) this.#items.push({ state: "returns", kind, namespace, name });
    else if (same.mark !== theirs.mark) this.#items.push({ state: "older", kind, namespace, name });
  }

  async rest(adopted: ReadonlySet<number>): Promise<HandbackItem[]> {
    for (const { name: namespace } of await this.#current.namespaces()) {
      for (const { kind, name } of (await this.#oursOf(namespace)).values())
        this.#items.push({ state: "unseen", kind, namespace, name });
      for (const { id, pid } of await this.#current.tasks(namespace))
        if (!adopted.has(pid)) this.#items.push({ state: "lost", kind: "task", namespace, name: id });
    }
    return this.#items;
  }

  /** Whether the files of a record are there, which lighter takes away with its own last record of them. */
  #hasBytes(record: OldRecord): boolean {
    if (record.kind === "blob") return existsSync(this.#layout.blob(record.info.digest));
    if (record.kind !== "snapshot") return true;
    const { snapshotter, backendName } = record.snapshot;
    const found = this.#snapshotters.get(snapshotter);
    const backend = found?.old.byName.get(backendName);
    if (found === undefined || backend === undefined) return false;
    // A view of the native snapshotter is its parent's folder.
    if (snapshotter === "native" && backend.kind === "view" && backend.parent !== "") return true;
    return existsSync(snapshotFolder(found.root, snapshotter, backend.id));
  }

  async #oursOf(namespace: string): Promise<Map<string, HandbackRecord>> {
    const known = this.#ours.get(namespace);
    if (known !== undefined) return known;
    const ours = new Map<string, HandbackRecord>();
    const info = (await this.#current.namespaces()).find(({ name }) => name === namespace);
    if (info !== undefined) {
      const own = oldHandbackRecord({ kind: "namespace", namespace, labels: new Map(Object.entries(info.labels)) });
      for (const record of [...(own === undefined ? [] : [own]), ...(await this.#current.records(namespace))])
        ours.set(`${record.kind}\n${record.name}`, record);
    }
    this.#ours.set(namespace, ours);
    return ours;
  }
}
