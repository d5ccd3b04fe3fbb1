import { constants, fstatSync } from "node:fs";
import { closeFile, openFile } from "./blob-files.ts";

/** Clients read a blob in many small calls, one right after the other: its file stays open for so long after the last. */
const idleMs = 1000;
/** So many files that nobody reads stay open at most. */
const maxIdle = 32;

/** A blob's file, open for reading; disposing it gives it back. */
export interface OpenBlob extends Disposable {
  readonly fd: number;
}

interface Entry {
  readonly path: string;
  readonly fd: number;
  readers: number;
  idleSince: number;
  /** Still the one that the next reader of the path gets. */
  current: boolean;
}

/** Keeps the files of blobs open that are read again and again. A blob's bytes never change, but its file may be replaced. */
export class OpenBlobs implements AsyncDisposable {
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Set<Promise<void>>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** The file, if it is open, and still there: one that somebody took away is missed by the next reader, not a second later. */
  opened(path: string): OpenBlob | undefined {
    const entry = this.#entries.get(path);
    if (entry === undefined) return undefined;
    if (fstatSync(entry.fd).nlink > 0) return this.#lend(entry);
    this.forget(path);
    return undefined;
  }

  /** Opens the file. Errors: Node's. */
  async open(path: string): Promise<OpenBlob> {
    const fd = await openFile(path, constants.O_RDONLY);
    const entry: Entry = { path, fd, readers: 0, idleSince: 0, current: !this.#entries.has(path) };
    if (entry.current) this.#entries.set(path, entry);
    return this.#lend(entry);
  }

  /** Another file is to be at the path. */
  forget(path: string): void {
    const entry = this.#entries.get(path);
    if (entry === undefined) return;
    this.#entries.delete(path);
    entry.current = false;
    if (entry.readers === 0) this.#close(entry);
  }

  /** Effects: closes what nobody reads; the rest is closed with its last reader. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#timer);
    for (const path of this.#entries.keys()) this.forget(path);
    await Promise.all(this.#closing);
  }

  #lend(entry: Entry): OpenBlob {
    entry.readers++;
    let given = false;
    return {
      fd: entry.fd,
      [Symbol.dispose]: () => {
        if (given) return;
        given = true;
        this.#takeBack(entry);
      },
    };
  }

  #takeBack(entry: Entry): void {
    entry.readers--;
    if (entry.readers > 0) return;
    if (!entry.current) {
      this.#close(entry);
      return;
    }
    entry.idleSince = performance.now();
    // The one that was used last is the last of the map.
    this.#entries.delete(entry.path);
    this.#entries.set(entry.path, entry);
    if (this.#entries.size > maxIdle) this.#forgetOldest();
    this.#timer ??= setTimeout(() => this.#sweep(), idleMs).unref();
  }

  #forgetOldest(): void {
    for (const entry of this.#entries.values()) {
      if (entry.readers > 0) continue;
      this.forget(entry.path);
      return;
    }
  }

  #sweep(): void {
    this.#timer = undefined;
    const before = performance.now() - idleMs;
    for (const entry of this.#entries.values()) {
      if (entry.readers === 0 && entry.idleSince <= before) this.forget(entry.path);
    }
    if (this.#entries.size > 0) this.#timer = setTimeout(() => this.#sweep(), idleMs).unref();
  }

  #close(entry: Entry): void {
    // Nothing was written: there is nothing to lose with it.
    const closing = closeFile(entry.fd)
      .catch(() => {})
      .finally(() => this.#closing.delete(closing));
    this.#closing.add(closing);
  }
}
