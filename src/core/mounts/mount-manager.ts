import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Ctx } from "../../lib/ctx.ts";
import { alreadyExists, FaultError, messageOf, notFound, quote } from "../../lib/faults.ts";
import { Instant } from "../../lib/instant.ts";
import { KeyedMutex } from "../../lib/keyed-mutex.ts";
import { labelMap, labelRecord } from "../../lib/labels.ts";
import type { Logger } from "../../lib/log.ts";
import { type MountResult, spawnWorker, type UnmountResult } from "../../workers/index.ts";
import type { Collectable } from "../gc/index.ts";
import type { Metadata } from "../metadata/index.ts";
import { requireNamespace } from "../required-namespace.ts";
import type { Activation, ActivationRequest, ActiveMount, MountManager } from "./activations.ts";
import { collectableMounts } from "./collectable-mounts.ts";
import { type MountPlan, planMounts } from "./mount-plan.ts";
import {
  allActivations,
  completeActivation,
  findActivation,
  forgetActivation,
  goneActivations,
  hasNumber,
  insertActivation,
  listActivations,
  markGone,
  type StoredActivation,
} from "./store.ts";

export interface MountManagerOptions {
  readonly metadata: Metadata;
  /** The folder of mount points: one in it for each activation. Of this manager alone. */
  readonly targets: string;
  /** Folders within which filesystems and folders may be made. */
  readonly roots: readonly string[];
  readonly log: Logger;
}

/** bolt's longest key, which is what bounds a name in containerd. */
const nameMaxBytes = 32_768;

/** Makes the manager, which begins with taking away what was left half made and forgetting what a reboot took. */
export function createMountManager(options: MountManagerOptions): MountManager {
  return new StoredMounts(options);
}

class StoredMounts implements MountManager {
  readonly collectable: Collectable;
  readonly #options: MountManagerOptions;
  readonly #locks = new KeyedMutex();
  readonly #ready: Promise<void>;

  constructor(options: MountManagerOptions) {
    this.#options = options;
    this.collectable = collectableMounts(() => this.#clean());
    this.#ready = this.#recover();
    this.#ready.catch((error: unknown) => options.log.error("take over the mounts", { error }));
  }

  async activate(ctx: Ctx, request: ActivationRequest): Promise<Activation> {
    const namespace = requireNamespace(ctx);
    checkName(request.name);
    const { name } = request;
    using _lock = await this.#locks.lock(`${namespace}\n${name}`);
    const plan = planMounts(request.mounts, request.temporary, request.allowed);
    await this.#ready;
    const labels = labelMap(labelRecord(request.labels));
    const fresh = { namespace, name, lease: ctx.lease ?? "", labels };
    const id = await this.#options.metadata.update((tx) => {
      const existing = findActivation(tx.db, namespace, name);
      if (existing?.activation !== undefined) throw alreadyExists(`mount ${quote(name)}`);
      // One that was left half made, since it could not even be taken away.
      if (existing !== undefined) markGone(tx, existing.id);
      return insertActivation(tx, fresh);
    });
    try {
      const made = await this.#mount(ctx, id, plan);
      const activation = activationOf({ ...request, labels }, plan, made);
      await this.#options.metadata.update((tx) => completeActivation(tx, id, namespace, activation));
      return activation;
    } catch (error) {
      await this.#options.metadata.update((tx) => void markGone(tx, id));
      await this.#clean();
      throw error;
    }
  }

  async deactivate(ctx: Ctx, name: string): Promise<void> {
    const namespace = requireNamespace(ctx);
    await this.#ready;
    using _lock = await this.#locks.lock(`${namespace}\n${name}`);
    const id = await this.#options.metadata.update((tx) => {
      const found = findActivation(tx.db, namespace, name);
      if (found === undefined) throw notFound(`missing mount ${quote(name)} bucket`);
      markGone(tx, found.id);
      return found.id;
    });
    const failures = await this.#takeAway([id]);
    if (failures.length > 0) throw new FaultError("unknown", failures.map(({ message }) => message).join("\n"));
  }

  async info(ctx: Ctx, name: string): Promise<Activation> {
    const namespace = requireNamespace(ctx);
    await this.#ready;
    const found = this.#options.metadata.read((db) => findActivation(db, namespace, name));
    if (found === undefined) throw new FaultError("notFound", `mount ${quote(name)} not found`);
    return found.activation ?? { name, active: [], system: [], labels: new Map() };
  }

  async has(ctx: Ctx, name: string): Promise<boolean> {
    const namespace = requireNamespace(ctx);
    await this.#ready;
    return this.#options.metadata.read((db) => findActivation(db, namespace, name)) !== undefined;
  }

  async list(ctx: Ctx, _filters: readonly string[]): Promise<readonly Activation[]> {
    const namespace = requireNamespace(ctx);
    await this.#ready;
    const rows = this.#options.metadata.read((db) => listActivations(db, namespace));
    return rows.flatMap(({ activation }) => (activation === undefined ? [] : [activation]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // Its failure was told when it came.
    await this.#ready.catch(() => undefined);
  }

  async #mount(ctx: Ctx, id: number, { steps, last }: MountPlan): Promise<MountResult> {
    const { targets, roots } = this.#options;
    const folder = join(targets, String(id));
    await mkdir(folder, { mode: 0o700 });
    const placed = steps.map((step) => ({ ...step, mountPoint: join(folder, step.folder) }));
    if (placed.length === 0 && last === undefined) return { mounted: [] };
    return await spawnWorker("mount", { roots: [targets, ...roots], steps: placed, last }, { signal: ctx.signal });
  }

  /** Takes away the mounts of all that is gone; what can't go now, goes another time. */
  async #clean(): Promise<void> {
    const failures = await this.#takeAway(this.#options.metadata.read(goneActivations));
    for (const failure of failures) this.#options.log.warn("a mount can't be taken away yet", { ...failure });
  }

  async #takeAway(ids: readonly number[]): Promise<UnmountResult["failures"]> {
    if (ids.length === 0) return [];
    const { metadata, targets } = this.#options;
    using _lock = await this.#locks.lock("");
    const folders = new Map(ids.map((id) => [join(targets, String(id)), id]));
    const { failures } = await spawnWorker("unmount", { folders: [...folders.keys()] });
    for (const { folder } of failures) folders.delete(folder);
    await metadata.update((tx) => {
      for (const id of folders.values()) forgetActivation(tx, id);
    });
    return failures;
  }

  /** Half made ones go, and so do those whose mounts are no more: after a reboot none is. */
  async #recover(): Promise<void> {
    const { metadata, targets } = this.#options;
    await mkdir(targets, { recursive: true, mode: 0o700 });
    const rows = metadata.read(allActivations);
    const points = rows.length === 0 ? new Set<string>() : await mountPoints();
    const lost = rows.filter((row) => !isWhole(row, points));
    if (lost.length > 0) {
      await metadata.update((tx) => {
        for (const { id } of lost) markGone(tx, id);
      });
    }
    await this.#clean();
    // Folders of another life's database.
    const stray = (await readdir(targets)).filter((name) => /^\d{1,15}$/.test(name)).map(Number);
    const unknown = metadata.read((db) => stray.filter((id) => !hasNumber(db, id)));
    for (const failure of await this.#takeAway(unknown)) {
      this.#options.log.warn("a stray mount can't be taken away", { ...failure });
    }
  }
}

function checkName(name: string): void {
  if (name === "") throw new FaultError("unknown", "bucket name required");
  if (Buffer.byteLength(name) > nameMaxBytes) throw new FaultError("unknown", "key too large");
}

function activationOf(
  { name, labels, temporary }: ActivationRequest,
  { rest }: MountPlan,
  { mounted, last }: MountResult,
): Activation {
  const active = mounted.map(
    ({ mountedAt, ...mount }): ActiveMount => ({ ...mount, mountedAt: Instant.of(mountedAt) }),
  );
  const system = last === undefined ? [...rest] : [last, ...rest];
  const top = active.at(-1);
  if (temporary && top !== undefined)
    system.push({ type: "bind", source: top.mountPoint, target: "", options: ["rbind"] });
  return { name, active, system, labels };
}

function isWhole({ activation }: StoredActivation, points: ReadonlySet<string>): boolean {
  return activation !== undefined && activation.active.every(({ mountPoint }) => points.has(mountPoint));
}

/** Source: proc_pid_mountinfo(5). */
async function mountPoints(): Promise<ReadonlySet<string>> {
  try {
    const lines = (await readFile("/proc/self/mountinfo", "utf8")).split("\n");
    return new Set(lines.map((line) => unescape(line.split(" ")[4] ?? "")));
  } catch (error) {
    throw new FaultError("unavailable", `read the mount table: ${messageOf(error)}`, { cause: error });
  }
}

function unescape(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_all, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}
