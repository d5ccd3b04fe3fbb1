import { type FileHandle, lstat, mkdir, open, readdir, readlink } from "node:fs/promises";
import { join } from "node:path";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import {
  byteString,
  displayName,
  encodeHeader,
  endMark,
  noXattrs,
  paddingFor,
  type TarEntry,
  type TarKind,
  TarReader,
} from "../../lib/tar/index.ts";

/** How much of a file is in memory at once. */
const chunkBytes = 1 << 20;

/** A folder's files as a tar: plain files and folders, and links to earlier images as CRIU makes them. */
export async function* packFolder(folder: string): AsyncIterable<Uint8Array> {
  yield* packBelow(folder, "");
  yield endMark;
}

async function* packBelow(folder: string, prefix: string): AsyncIterable<Uint8Array> {
  for (const name of (await readdir(join(folder, prefix))).sort()) {
    const inside = prefix === "" ? name : `${prefix}/${name}`;
    const path = join(folder, inside);
    const info = await lstat(path);
    const base = { mode: info.mode & 0o7777, uid: info.uid, gid: info.gid, mtimeMs: info.mtimeMs };
    if (info.isDirectory()) {
      yield encodeHeader(entry(`${inside}/`, "directory", base));
      yield* packBelow(folder, inside);
    } else if (info.isSymbolicLink()) {
      yield encodeHeader(entry(inside, "symlink", base, 0, await readlink(path)));
    } else if (info.isFile()) {
      yield encodeHeader(entry(inside, "file", base, info.size));
      yield* fileBytes(path, info.size);
      yield paddingFor(info.size);
    }
    // Sockets and the like are no part of an image.
  }
}

function entry(
  name: string,
  kind: TarKind,
  base: { mode: number; uid: number; gid: number; mtimeMs: number },
  sizeBytes = 0,
  linkName = "",
): TarEntry {
  return {
    name: byteString(name),
    linkName: byteString(linkName),
    kind,
    mode: base.mode,
    uid: base.uid,
    gid: base.gid,
    sizeBytes,
    mtime: { seconds: Math.floor(base.mtimeMs / 1000), nanos: 0 },
    devMajor: 0,
    devMinor: 0,
    xattrs: noXattrs,
  };
}

/** Exactly as many bytes as the header has promised. */
async function* fileBytes(path: string, sizeBytes: number): AsyncIterable<Uint8Array> {
  await using file = await open(path, "r");
  for (let at = 0; at < sizeBytes; ) {
    const buffer = new Uint8Array(Math.min(chunkBytes, sizeBytes - at));
    const { bytesRead } = await file.read(buffer, 0, buffer.length, at);
    if (bytesRead === 0) throw new FaultError("unknown", `${path} became shorter while it was read`);
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}

/** What is to be done on disk for a piece of the archive, in order. */
type Step =
  | { readonly kind: "folder"; readonly path: string }
  | { readonly kind: "file"; readonly path: string; readonly mode: number }
  | { readonly kind: "bytes"; readonly bytes: Uint8Array; readonly offset: number }
  | { readonly kind: "close" };

/**
 * Unpacks an archive of CRIU's images into an empty folder. The archive is anybody's: only plain files and folders with
 * names that stay inside are taken, and a file is never written through something that the archive put there.
 * Errors: invalidArgument (anything else in it, or it is no archive).
 */
export async function unpackInto(folder: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const steps: Step[] = [];
  const reader = new TarReader({
    entry: (found) => steps.push(stepFor(folder, found)),
    data: (bytes, offset) => steps.push({ kind: "bytes", bytes: bytes.slice(), offset }),
    end: () => steps.push({ kind: "close" }),
  });
  await using target = new Target();
  for await (const chunk of chunks) {
    guarded(() => reader.push(chunk));
    for (const step of steps.splice(0)) await target.apply(step);
  }
  guarded(() => reader.finish());
  for (const step of steps.splice(0)) await target.apply(step);
}

function guarded(action: () => void): void {
  try {
    action();
  } catch (error) {
    if (error instanceof FaultError) throw error;
    throw new FaultError("invalidArgument", `read archive: ${messageOf(error)}`, { cause: error });
  }
}

function stepFor(folder: string, found: TarEntry): Step {
  const name = displayName(found.name).replace(/^(?:\.\/)+/, "");
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || parts.includes("..") || name.includes("\0")) {
    throw new FaultError("invalidArgument", `name ${quote(name)} in archive leads outside`);
  }
  const path = join(folder, ...parts);
  if (found.kind === "directory") return { kind: "folder", path };
  if (found.kind === "file" && parts.length > 0) return { kind: "file", path, mode: found.mode & 0o777 };
  throw new FaultError("invalidArgument", `${found.kind} ${quote(name)} in archive of a checkpoint`);
}

/** The file that is being written. */
class Target implements AsyncDisposable {
  #file: FileHandle | undefined;

  async apply(step: Step): Promise<void> {
    if (step.kind === "folder") await mkdir(step.path, { recursive: true, mode: 0o700 });
    else if (step.kind === "bytes") await this.#file?.write(step.bytes, 0, step.bytes.length, step.offset);
    else {
      await this.#file?.close();
      this.#file = step.kind === "file" ? await open(step.path, "wx", step.mode) : undefined;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file?.close();
  }
}
