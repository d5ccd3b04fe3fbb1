import type { Descriptor } from "../../lib/descriptor.ts";
import type { Digest } from "../../lib/digest.ts";
import { makeRefKey } from "../remotes/index.ts";
import type { OnTransferProgress } from "./transfer.ts";

/** How often what goes on is told. Source: containerd core/transfer/local/progress.go. */
const tickMs = 300;

type JobState = "waiting" | "moving" | "complete" | "extracting" | "extracted";

interface Job {
  readonly name: string;
  readonly descriptor: Descriptor;
  readonly parents: readonly string[];
  state: JobState;
  /** How far it is, and how far was told. */
  offset: number;
  told: number;
}

/**
 * Follows the parts of an image on their way and tells of them as containerd does: `waiting`, `downloading` (or
 * `uploading`), `complete`, `extracting`, `extracted`, `already exists`.
 */
export class ProgressTracker implements Disposable {
  readonly #root: string;
  readonly #movingEvent: string;
  readonly #tell: OnTransferProgress;
  readonly #jobs = new Map<Digest, Job>();
  readonly #parents = new Map<Digest, string[]>();
  readonly #timer: ReturnType<typeof setInterval>;

  /** @param root the image's name, from which all hangs. @param movingEvent what a part on its way is said to be doing. */
  constructor(root: string, movingEvent: string, tell: OnTransferProgress) {
    this.#root = root;
    this.#movingEvent = movingEvent;
    this.#tell = tell;
    this.#timer = setInterval(() => this.#update(), tickMs);
  }

  add(descriptor: Descriptor): void {
    this.#job(descriptor);
  }

  addChildren(parent: Descriptor, children: readonly Descriptor[]): void {
    const name = makeRefKey(parent);
    for (const { digest } of children) this.#parents.set(digest, [...(this.#parents.get(digest) ?? []), name]);
  }

  moved(descriptor: Descriptor, offset: number): void {
    const job = this.#job(descriptor);
    if (job.state === "moving") job.offset = offset;
    if (job.state !== "waiting") return;
    job.state = "moving";
    job.offset = offset;
    job.told = offset;
    // At once: it is what an earlier attempt has left, which says nothing of how fast this one is.
    this.#say(job, this.#movingEvent, offset);
  }

  complete(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    if (job.state !== "waiting" && job.state !== "moving") return;
    job.state = "complete";
    this.#say(job, "complete", descriptor.sizeBytes);
  }

  exists(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    if (job.state !== "waiting" && job.state !== "moving") return;
    job.state = "complete";
    this.#say(job, "already exists", descriptor.sizeBytes);
  }

  extracting(descriptor: Descriptor, offset: number): void {
    const job = this.#job(descriptor);
    // While it arrives, its arriving is what is told.
    if (job.state !== "complete" && job.state !== "extracting") return;
    job.state = "extracting";
    job.offset = offset;
  }

  extracted(descriptor: Descriptor): void {
    const job = this.#job(descriptor);
    if (job.state === "extracted") return;
    job.state = "extracted";
    this.#say(job, "extracted", descriptor.sizeBytes);
  }

  /** Tells what was not told yet, and no more after that. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#update();
  }

  #job(descriptor: Descriptor): Job {
    const found = this.#jobs.get(descriptor.digest);
    if (found !== undefined) return found;
    const parents = this.#parents.get(descriptor.digest) ?? [this.#root];
    const name = makeRefKey(descriptor);
    const job: Job = { name, descriptor, parents, state: "waiting", offset: 0, told: -1 };
    this.#jobs.set(descriptor.digest, job);
    this.#say(job, "waiting", 0);
    return job;
  }

  #update(): void {
    for (const job of this.#jobs.values()) {
      if (job.offset === job.told) continue;
      if (job.state === "moving") this.#say(job, this.#movingEvent, job.offset);
      else if (job.state === "extracting") this.#say(job, "extracting", job.offset);
      else continue;
      job.told = job.offset;
    }
  }

  #say({ name, parents, descriptor }: Job, event: string, progress: number): void {
    this.#tell({ event, name, parents, progress, total: descriptor.sizeBytes, descriptor });
  }
}
