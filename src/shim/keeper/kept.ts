import { closeQuietly, type Fd, type Kernel } from "../../sys/index.ts";
import type { Drawer } from "./drawer.ts";

/**
 * The drawers of a process: the host's writer for its stdin, until CloseIO; its terminal with the client's streams, until
 * drained; the FIFO by which a created init is let go, for that moment.
 */
export const drawers = { stdin: "stdin", terminal: "terminal", release: "release" } as const;

/** What a keeper holds is told apart by these. */
export interface KeptRecord {
  readonly namespace: string;
  readonly id: string;
  /** Empty for init. */
  readonly execId: string;
  readonly pid: number;
  readonly startTime: number;
}

export interface KeptOptions {
  readonly record: KeptRecord;
  /** Borrowed from the process's handle, until `letGoOfProcess`. */
  readonly pidfd: Fd | undefined;
  readonly drawers: ReadonlyMap<string, Drawer>;
  /** Called once, when nothing of it needs keeping any more. */
  readonly onEmpty: () => void;
}

/** What of one process outlives the host: its pidfd, by which its exit can be asked for, and streams in drawers. */
export class Kept {
  readonly record: KeptRecord;
  readonly #drawers: Map<string, Drawer>;
  readonly #onEmpty: () => void;
  #pidfd: Fd | undefined;
  #empty = false;

  constructor({ record, pidfd, drawers, onEmpty }: KeptOptions) {
    this.record = record;
    this.#pidfd = pidfd;
    this.#drawers = new Map(drawers);
    this.#onEmpty = onEmpty;
  }

  get isEmpty(): boolean {
    return this.#empty;
  }

  /** What is to be sent to the keeper, by name. */
  contents(): Map<string, Fd> {
    const contents = new Map<string, Fd>();
    if (this.#pidfd !== undefined) contents.set("pidfd", this.#pidfd);
    for (const [name, drawer] of this.#drawers) contents.set(name, drawer.fd);
    return contents;
  }

  /** Copies of a drawer's descriptors, for the caller to own. */
  copies(drawer: string): Map<string, Fd> {
    return this.#drawers.get(drawer)?.copies() ?? new Map();
  }

  /** Puts copies of descriptors into a drawer that was kept empty. */
  fill(drawer: string, contents: ReadonlyMap<string, Fd>): void {
    this.#drawers.get(drawer)?.fill(contents);
  }

  /** Throws a drawer's descriptors out; doing it again changes nothing. */
  drop(drawer: string): void {
    this.#drawers.get(drawer)?.[Symbol.dispose]();
    this.#drawers.delete(drawer);
    this.#settle();
  }

  /** Throws everything out. */
  dropAll(): void {
    for (const name of this.#drawers.keys()) this.drop(name);
    this.letGoOfProcess();
  }

  /** Another one of the same process takes over what this one has. */
  yield(): void {
    for (const drawer of this.#drawers.values()) drawer.letGo();
    this.#drawers.clear();
    this.letGoOfProcess();
  }

  /** The process's exit is known and on disk; its handle is about to close. */
  letGoOfProcess(): void {
    this.#pidfd = undefined;
    this.#settle();
  }

  #settle(): void {
    if (this.#empty || this.#pidfd !== undefined || this.#drawers.size > 0) return;
    this.#empty = true;
    this.#onEmpty();
  }
}

/** A process's message as it lies in the keeper's queue. */
export function encodeKept(kept: Kept): { readonly bytes: Uint8Array; readonly fds: readonly Fd[] } {
  const contents = kept.contents();
  const message = { schema: keptSchema, ...kept.record, names: [...contents.keys()] };
  return { bytes: Buffer.from(JSON.stringify(message)), fds: [...contents.values()] };
}

const keptSchema = 1;

/** A message of an earlier host, read back. */
export interface FoundKept {
  readonly record: KeptRecord;
  /** For the caller to own. */
  readonly fds: ReadonlyMap<string, Fd>;
}

/** Reads a message back; undefined for one that says nothing of a process (whose descriptors are closed then). */
export function decodeKept(kernel: Kernel, bytes: Uint8Array, fds: readonly Fd[]): FoundKept | undefined {
  const message = parse(bytes);
  const { namespace, id, execId, pid, startTime, names } = message;
  if (
    message["schema"] === keptSchema &&
    typeof namespace === "string" &&
    typeof id === "string" &&
    typeof execId === "string" &&
    typeof pid === "number" &&
    typeof startTime === "number" &&
    Array.isArray(names) &&
    names.length === fds.length
  ) {
    const record = { namespace, id, execId, pid, startTime };
    return { record, fds: new Map(names.map((name, n) => [String(name), fds[n] as Fd])) };
  }
  for (const fd of fds) closeQuietly(kernel, fd);
  return undefined;
}

function parse(bytes: Uint8Array): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(Buffer.from(bytes).toString());
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : {};
  } catch {
    // Not a message of ours: it says nothing.
    return {};
  }
}

/** Names a process among those of all tasks. */
export function keptKey({ namespace, id, execId }: Pick<KeptRecord, "namespace" | "id" | "execId">): string {
  return `${namespace}/${id}/${execId}`;
}
