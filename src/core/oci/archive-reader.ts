import type { Digest } from "../../lib/digest.ts";
import { digestProblem } from "../../lib/digest.ts";
import { invalidArgument, messageOf, quote } from "../../lib/faults.ts";
import { type ByteString, displayName, type TarEntry, TarError, TarReader } from "../../lib/tar/index.ts";
import { maxDocumentBytes } from "./documents.ts";

/** What was found in an image archive; its blobs are in the content store. */
export interface ArchiveContents {
  /** manifest.json, index.json and oci-layout. */
  readonly documents: ReadonlyMap<string, Uint8Array>;
  readonly blobs: ReadonlyMap<string, ArchivedBlob>;
  /** Symbolic and hard links by name, with where they lead. */
  readonly links: ReadonlyMap<string, string>;
}

export interface WrittenBlob {
  readonly digest: Digest;
  readonly sizeBytes: number;
}

export interface ArchivedBlob extends WrittenBlob {
  /** The first bytes, by which compression is told. */
  readonly head: Uint8Array;
}

/** Takes one blob's bytes. */
export interface BlobSink {
  /** Takes bytes, which are only lent until it settles. */
  write(bytes: Uint8Array): Promise<void>;
  /** Errors: failedPrecondition when it is not what was expected. */
  commit(): Promise<WrittenBlob>;
  /** Gives up; never fails. */
  abort(): Promise<void>;
}

export interface BlobRequest {
  /** The member's name, for messages and references only. */
  readonly name: string;
  /** The digest, where the archive says it. */
  readonly expected: Digest | undefined;
  readonly sizeBytes: number;
}

export type OpenBlob = (request: BlobRequest) => BlobSink | Promise<BlobSink>;

const documentNames: readonly string[] = ["manifest.json", "index.json", "oci-layout"];
/** So many blobs are brought to disk while the next one is read. */
const maxCommits = 3;
/** More members than this is no image archive. */
const maxEntries = 100_000;

type Step =
  | { readonly kind: "begin"; readonly name: string; readonly sizeBytes: number }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "end" };

/**
 * Reads an archive once, from front to back, and hands its blobs on while it does.
 * Shape: `chunks` are the plain tar's bytes. Names are only ever keys of a map, never paths.
 * Errors: invalidArgument that names the member; what the sinks say.
 */
export async function readArchive(chunks: AsyncIterable<Uint8Array>, openBlob: OpenBlob): Promise<ArchiveContents> {
  const intake = new Intake(openBlob);
  const reader = new TarReader(intake);
  try {
    for await (const chunk of chunks) {
      reader.push(chunk);
      await intake.drain();
      if (reader.ended) break;
    }
    reader.finish();
    await intake.drain();
    await intake.settle(0);
  } catch (error) {
    const current = intake.current;
    await intake.abort();
    if (!(error instanceof TarError)) throw error;
    const member = error.entry === undefined ? current : displayName(error.entry);
    const at = member === undefined ? "" : ` at ${quote(member)}`;
    throw invalidArgument(`archive is broken${at}: ${messageOf(error)}`, { cause: error });
  }
  return intake;
}

interface Member {
  readonly name: string;
  readonly sink: BlobSink | undefined;
  readonly parts: Uint8Array[];
  head: Uint8Array;
}

/** Takes what the tar reader finds and passes it on at the sinks' pace. */
class Intake implements ArchiveContents {
  readonly documents = new Map<string, Uint8Array>();
  readonly blobs = new Map<string, ArchivedBlob>();
  readonly links = new Map<string, string>();
  readonly #openBlob: OpenBlob;
  #steps: Step[] = [];
  readonly #seen = new Set<string>();
  /** Blobs that are being brought to disk; none of these rejects. */
  readonly #commits = new Set<Promise<void>>();
  #failure: { readonly error: unknown } | undefined;
  #entries = 0;
  #wanted = false;
  #current: Member | undefined;

  constructor(openBlob: OpenBlob) {
    this.#openBlob = openBlob;
  }

  entry(entry: TarEntry): void {
    this.#entries += 1;
    if (this.#entries > maxEntries) throw new TarError(`more than ${maxEntries} members`);
    const name = cleanName(entry.name);
    this.#wanted = entry.kind === "file" && !isSkipped(name);
    if (entry.kind === "symlink" || entry.kind === "hardlink") this.links.set(name, linkTarget(name, entry));
    if (!this.#wanted) return;
    if (documentNames.includes(name) && entry.sizeBytes > maxDocumentBytes)
      throw new TarError("document is too large", entry.name);
    // Which of two would count depends on who reads.
    if (this.#seen.has(name)) throw new TarError("is there twice", entry.name);
    this.#seen.add(name);
    this.#steps.push({ kind: "begin", name, sizeBytes: entry.sizeBytes });
  }

  data(bytes: Uint8Array): void {
    if (this.#wanted) this.#steps.push({ kind: "data", bytes });
  }

  end(): void {
    if (this.#wanted) this.#steps.push({ kind: "end" });
    this.#wanted = false;
  }

  async drain(): Promise<void> {
    const steps = this.#steps;
    this.#steps = [];
    for (const step of steps) await this.#take(step);
  }

  /** The member that is being taken in. */
  get current(): string | undefined {
    return this.#current?.name;
  }

  async abort(): Promise<void> {
    await this.#current?.sink?.abort();
    await Promise.all(this.#commits);
  }

  /** Waits until no more than so many blobs are on their way to disk. Errors: what one of them says. */
  async settle(most: number): Promise<void> {
    while (this.#commits.size > most) await Promise.race(this.#commits);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  async #take(step: Step): Promise<void> {
    if (step.kind === "begin") {
      await this.#begin(step.name, step.sizeBytes);
      return;
    }
    const current = this.#current;
    if (current === undefined) return;
    if (step.kind === "data") {
      if (current.head.length < 8)
        current.head = Buffer.concat([current.head, step.bytes.subarray(0, 8)]).subarray(0, 8);
      // The reader lends its bytes until the next piece; a document is kept beyond that.
      if (current.sink === undefined) current.parts.push(new Uint8Array(step.bytes));
      else await current.sink.write(step.bytes);
      return;
    }
    if (current.sink === undefined) this.documents.set(current.name, Buffer.concat(current.parts));
    else this.#commit(current, current.sink);
    this.#current = undefined;
    await this.settle(maxCommits);
  }

  /** Begins to bring a blob to disk: the disk's answer takes long, and there is more to read. */
  #commit({ name, head }: Member, sink: BlobSink): void {
    const commit = sink
      .commit()
      .then((written) => {
        this.blobs.set(name, { ...written, head });
      })
      .catch((error: unknown) => {
        this.#failure ??= { error };
      })
      .finally(() => this.#commits.delete(commit));
    this.#commits.add(commit);
  }

  async #begin(name: string, sizeBytes: number): Promise<void> {
    const sink = documentNames.includes(name)
      ? undefined
      : await this.#openBlob({ name, expected: namedDigest(name), sizeBytes });
    this.#current = { name, sink, parts: [], head: new Uint8Array(0) };
  }
}

/** What an OCI layout's file must hold, by its name. */
function namedDigest(name: string): Digest | undefined {
  const found = /^blobs\/([a-z0-9]+)\/([0-9a-f]+)$/.exec(name);
  const digest = `${found?.[1]}:${found?.[2]}`;
  return found !== null && digestProblem(digest) === undefined ? (digest as Digest) : undefined;
}

/** Files of docker's old layout that say nothing the others don't. */
function isSkipped(name: string): boolean {
  return name === "repositories" || name.endsWith("/json") || name.endsWith("/VERSION");
}

/** A member's name without detours. Errors: TarError when it leads out of the archive. */
function cleanName(name: ByteString): string {
  return withoutDetours(displayName(name)) ?? refuse(name, "leads out of the archive");
}

function linkTarget(name: string, entry: TarEntry): string {
  const target = displayName(entry.linkName);
  const from = entry.kind === "hardlink" ? target : `${name}/../${target}`;
  const inside = target.startsWith("/") ? undefined : withoutDetours(from);
  return inside ?? refuse(entry.name, "is a link that leads out of the archive");
}

function refuse(name: ByteString, why: string): never {
  throw new TarError(why, name);
}

function withoutDetours(path: string): string | undefined {
  const parts: string[] = [];
  for (const part of path.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}
