import { invalidArgument, isFault, messageOf, quote } from "../../lib/faults.ts";
import { type ByteString, displayName, type TarEntry, TarError, TarReader } from "../../lib/tar/index.ts";
import type { Client } from "../client.ts";
import { isCompressionError } from "./archive-source.ts";
import { BlobWriter, type WrittenBlob } from "./blob-writer.ts";
import { maxDocumentBytes } from "./documents.ts";

/** What was found in an image archive; its blobs are in the content store, kept by the lease. */
export interface ArchiveContents {
  /** manifest.json, index.json and oci-layout. */
  readonly documents: ReadonlyMap<string, Uint8Array>;
  readonly blobs: ReadonlyMap<string, ArchivedBlob>;
  /** Symbolic and hard links by name, with where they lead. */
  readonly links: ReadonlyMap<string, string>;
}

export interface ArchivedBlob extends WrittenBlob {
  /** The first bytes, by which compression is told. */
  readonly head: Uint8Array;
}

const documentNames: readonly string[] = ["manifest.json", "index.json", "oci-layout"];
/** More members than this is no image archive. */
const maxEntries = 100_000;

type Step =
  | { readonly kind: "begin"; readonly name: string; readonly sizeBytes: number }
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  | { readonly kind: "end" };

/**
 * Reads an archive once, from front to back, and writes its blobs into the content store on the way.
 * Shape: `chunks` are the plain tar's bytes. Names are only ever keys of a map, never paths.
 * Errors: invalidArgument that names the member; what the daemon says of a blob.
 */
export async function readArchive(
  client: Client,
  chunks: AsyncIterable<Uint8Array>,
  lease: string,
): Promise<ArchiveContents> {
  const intake = new Intake(client, lease);
  const reader = new TarReader(intake);
  try {
    for await (const chunk of chunks) {
      reader.push(chunk);
      await intake.drain();
      if (reader.ended) break;
    }
    reader.finish();
    await intake.drain();
  } catch (error) {
    const member = error instanceof TarError && error.entry !== undefined ? displayName(error.entry) : intake.current;
    await intake.abort();
    throw archiveFault(error, member);
  }
  return intake;
}

/** What is wrong with the archive, with the member at which it shows; failures of the daemon are told as they are. */
function archiveFault(error: unknown, member: string | undefined): unknown {
  const at = member === undefined ? "" : ` at ${quote(member)}`;
  if (error instanceof TarError || isCompressionError(error)) {
    return invalidArgument(`archive is broken${at}: ${messageOf(error)}`, { cause: error });
  }
  if (!isFault(error, "failedPrecondition") || member === undefined) return error;
  return invalidArgument(`archive member ${quote(member)}: ${messageOf(error)}`, { cause: error });
}

/** Takes what the tar reader finds and passes it on at the content store's pace. */
class Intake implements ArchiveContents {
  readonly documents = new Map<string, Uint8Array>();
  readonly blobs = new Map<string, ArchivedBlob>();
  readonly links = new Map<string, string>();
  readonly #client: Client;
  readonly #lease: string;
  #steps: Step[] = [];
  #entries = 0;
  readonly #seen = new Set<string>();
  #wanted = false;
  #current: { name: string; writer: BlobWriter | undefined; parts: Uint8Array[]; head: Uint8Array } | undefined;

  constructor(client: Client, lease: string) {
    this.#client = client;
    this.#lease = lease;
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
    if (this.#seen.has(name)) throw new TarError("is there twice", entry.name);
    this.#seen.add(name);
    this.#steps.push({ kind: "begin", name, sizeBytes: entry.sizeBytes });
  }

  data(bytes: Uint8Array): void {
    if (this.#wanted) this.#steps.push({ kind: "data", bytes: bytes.slice() });
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
    await this.#current?.writer?.abort();
  }

  async #take(step: Step): Promise<void> {
    if (step.kind === "begin") {
      this.#begin(step.name, step.sizeBytes);
      return;
    }
    const current = this.#current;
    if (current === undefined) return;
    if (step.kind === "data") {
      if (current.head.length === 0) current.head = step.bytes.slice(0, 8);
      if (current.writer === undefined) current.parts.push(step.bytes);
      else await current.writer.write(step.bytes);
      return;
    }
    if (current.writer === undefined) this.documents.set(current.name, Buffer.concat(current.parts));
    else this.blobs.set(current.name, { ...(await current.writer.commit()), head: current.head });
    this.#current = undefined;
  }

  #begin(name: string, totalBytes: number): void {
    const isDocument = documentNames.includes(name);
    const hex = /^blobs\/sha256\/([0-9a-f]{64})$/.exec(name)?.[1];
    const expected = hex === undefined ? undefined : `sha256:${hex}`;
    const writer = isDocument ? undefined : new BlobWriter(this.#client, { lease: this.#lease, expected, totalBytes });
    this.#current = { name, writer, parts: [], head: new Uint8Array(0) };
  }
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
