import { isFault, messageOf } from "../../lib/faults.ts";
import type { Logger } from "../../lib/log.ts";
import type { Metadata } from "../metadata/index.ts";
import type { SnapshotBackend } from "./backend.ts";
import { type BackendSnapshot, forgetRemoval, removalsOf } from "./store.ts";

export interface BackendRemovalsOptions {
  readonly snapshotter: string;
  readonly backend: SnapshotBackend;
  readonly metadata: Metadata;
  readonly log: Logger;
  /** What the active snapshot's name becomes when it is committed. */
  readonly committedKey: (key: string) => string;
}

const removalTimeoutMs = 60_000;

/**
 * Removes from another process what is noted to go there. What is about to be made there is noted as well, beforehand, so that
 * a crash leaves nothing that nobody knows of.
 */
export class BackendRemovals implements AsyncDisposable {
  readonly #options: BackendRemovalsOptions;
  /** Those that are being made: their notes stand for a crash alone. */
  readonly #making = new Set<string>();
  #round: Promise<void> | undefined;
  #again = false;

  constructor(options: BackendRemovalsOptions) {
    this.#options = options;
  }

  /** Keeps a noted snapshot from being removed until it is disposed of. */
  making(snapshot: BackendSnapshot): Disposable {
    const name = nameOf(snapshot);
    this.#making.add(name);
    return { [Symbol.dispose]: () => void this.#making.delete(name) };
  }

  /** Begins to remove what is noted. */
  discard(): void {
    this.#again = true;
    this.#round ??= this.#run();
  }

  /** Removes what is noted, and waits for it. What cannot be removed stays noted. */
  async settle(): Promise<void> {
    this.discard();
    await this.#round;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#round;
  }

  async #run(): Promise<void> {
    try {
      while (this.#again) {
        this.#again = false;
        // Parents can go only after their children: as long as something goes, there may be more.
        for (let gone = 1; gone > 0; ) gone = await this.#pass();
      }
    } finally {
      this.#round = undefined;
    }
  }

  async #pass(): Promise<number> {
    const { metadata, snapshotter, log } = this.#options;
    const noted = metadata.read((db) => removalsOf(db, snapshotter)).filter((one) => !this.#making.has(nameOf(one)));
    const gone: BackendSnapshot[] = [];
    for (const snapshot of noted) {
      try {
        if (await this.#remove(snapshot)) gone.push(snapshot);
      } catch (error) {
        log.warn("failed to remove a snapshot", { snapshotter, key: snapshot.backendKey, error: messageOf(error) });
      }
    }
    if (gone.length > 0) {
      await metadata.update(
        (tx) => {
          for (const snapshot of gone) forgetRemoval(tx, snapshot);
        },
        { background: true },
      );
    }
    return gone.length;
  }

  /** Under both of its names: a commit may have been cut off. False while it has children. */
  async #remove({ namespace, backendKey }: BackendSnapshot): Promise<boolean> {
    const { backend, committedKey } = this.#options;
    for (const key of [backendKey, committedKey(backendKey)]) {
      try {
        await backend.remove({ namespace, signal: AbortSignal.timeout(removalTimeoutMs) }, key);
      } catch (error) {
        if (isFault(error, "failedPrecondition")) return false;
        if (!isFault(error, "notFound")) throw error;
      }
    }
    return true;
  }
}

function nameOf({ namespace, backendKey }: BackendSnapshot): string {
  return `${namespace}\n${backendKey}`;
}
