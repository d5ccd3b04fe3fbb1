import { closeSync, constants, openSync } from "node:fs";
import { type Capability, createKernel, type Kernel, type MountRequest } from "../sys/index.ts";
import { CrewMember } from "./crew-member.ts";
import { inUserNamespace, type TreePlace, treePlaceOf } from "./enter-tree.ts";
import type { LayerJob, UnpackResult } from "./jobs.ts";
import { rightsFor } from "./unpacking/rights.ts";

/** A layer that a crew applies. */
export interface CrewLayer extends Pick<LayerJob, "mediaType" | "syncFs" | "limits" | "measure" | "tellsOffset"> {
  readonly mounts: readonly MountRequest[];
  /** The archive's file; a path, or a descriptor that is the caller's to close. */
  readonly archive: string | number;
  /** How far the archive's file has grown, where it still does; as LayerJob says. */
  readonly lines?: AsyncIterable<string> | undefined;
  /** Told how far a layer is that tells it. */
  readonly onOffset?: ((offset: number) => void) | undefined;
  /** Kills the process that works on the layer. */
  readonly signal: AbortSignal;
}

/** Worker processes for the layers of one image. */
export interface LayerCrew extends AsyncDisposable {
  /** Whether it can apply to what is mounted so: only where no mount has to be made for that. */
  takes(mounts: readonly MountRequest[]): boolean;
  /**
   * Applies a layer in a process that has nothing else to do, a new one where there is none. Errors: as spawnWorker.
   * Effects: a process in which a layer failed ends; another goes on to the next layer, with a root of its own again.
   */
  apply(layer: CrewLayer): Promise<UnpackResult>;
}

export interface LayerCrewOptions {
  /** A process that waits for so long ends, and gives its memory back. */
  readonly idleMs?: number | undefined;
  /** A process ends after so many layers. */
  readonly maxLayers?: number | undefined;
}

/** What a process needs to be started and to compile its code is spread over a few layers; waiting ones hold some 60 MB each. */
const defaultIdleMs = 250;
const defaultLayers = 32;
/** What a message takes besides the tree's own folder and the archive. Source: sys/sockets.ts. */
const maxLower = 14;

/** Opens a crew. Effects: processes begin when they are needed; disposing kills all of them and waits for that. */
export function openLayerCrew(options: LayerCrewOptions = {}): LayerCrew {
  return new ProcessCrew(options);
}

class ProcessCrew implements LayerCrew {
  readonly #kernel: Kernel = createKernel();
  readonly #isRoot: boolean = process.getuid?.() === 0 && !inUserNamespace();
  readonly #idleMs: number;
  readonly #maxLayers: number;
  readonly #members = new Set<CrewMember>();
  /** Those that wait, with what sends them home. */
  readonly #idle = new Map<CrewMember, ReturnType<typeof setTimeout>>();
  #closed = false;

  constructor({ idleMs = defaultIdleMs, maxLayers = defaultLayers }: LayerCrewOptions) {
    this.#idleMs = idleMs;
    this.#maxLayers = maxLayers;
  }

  takes(mounts: readonly MountRequest[]): boolean {
    const place = this.#isRoot ? treePlaceOf(mounts, false) : undefined;
    return place?.folder.startsWith("/") === true && place.lower.length <= maxLower;
  }

  async apply({ mounts, archive, lines, signal, onOffset, ...layer }: CrewLayer): Promise<UnpackResult> {
    signal.throwIfAborted();
    const place = treePlaceOf(mounts, false);
    if (place === undefined || this.#closed) throw new Error("a crew was given what it does not take");
    const { kind, overlayXattrs } = place;
    const job: LayerJob = { ...layer, kind, overlayXattrs, growing: lines !== undefined };
    using files = openFiles(place, archive);
    const member = this.#member(`${kind} ${overlayXattrs}`, [...rightsFor(place), "sysChroot"]);
    const result = await member.run(job, files.fds, lines, signal, onOffset);
    this.#rest(member);
    return result;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#closed = true;
    for (const timer of this.#idle.values()) clearTimeout(timer);
    this.#idle.clear();
    for (const member of this.#members) member.kill();
    await Promise.all([...this.#members].map((member) => member.ended));
  }

  /** One kind of tree takes rights that another does not: what gave them up cannot have them again. */
  #member(kind: string, rights: readonly Capability[]): CrewMember {
    for (const member of this.#idle.keys()) {
      if (member.kind !== kind || member.gone) continue;
      this.#forgetIdle(member);
      return member;
    }
    const member = new CrewMember(this.#kernel, kind, rights);
    this.#members.add(member);
    void member.ended.then(() => {
      this.#members.delete(member);
      this.#forgetIdle(member);
    });
    return member;
  }

  #forgetIdle(member: CrewMember): void {
    clearTimeout(this.#idle.get(member));
    this.#idle.delete(member);
  }

  #rest(member: CrewMember): void {
    if (member.gone) return;
    if (this.#closed || member.layers >= this.#maxLayers) {
      member.sendHome();
      return;
    }
    const timer = setTimeout(() => {
      this.#idle.delete(member);
      member.sendHome();
    }, this.#idleMs);
    this.#idle.set(member, timer);
  }
}

function openFiles(place: TreePlace, archive: string | number): Disposable & { readonly fds: readonly number[] } {
  const own: number[] = [];
  const close = (): void => {
    for (const fd of own) closeSync(fd);
  };
  const open = (path: string, flags: number): number => {
    const fd = openSync(path, flags);
    own.push(fd);
    return fd;
  };
  const { O_RDONLY, O_DIRECTORY } = constants;
  try {
    const folder = open(place.folder, O_RDONLY | O_DIRECTORY);
    const blob = typeof archive === "number" ? archive : open(archive, O_RDONLY);
    const lower = place.lower.map((path) => open(path, O_RDONLY | O_DIRECTORY));
    return { fds: [folder, blob, ...lower], [Symbol.dispose]: close };
  } catch (error) {
    close();
    throw error;
  }
}
