import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readlinkSync, renameSync, rmSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { messageOf } from "../lib/faults.ts";
import { byteString, encodeHeader, endMark, paddingFor, plainEntry } from "../lib/tar/index.ts";
import { CommandError } from "./usage-error.ts";

/** A folder as a tar, under a name in it, or what is in it where none is given; by the system's tar. */
export async function* folderTar(folder: string, follow: boolean): AsyncGenerator<Uint8Array> {
  const options = ["--create", "--file=-", "--format=posix", "--numeric-owner", "--sort=name"];
  const times = "--pax-option=delete=atime,delete=ctime";
  const words = ["tar", ...options, times, ...(follow ? ["--dereference"] : []), `--directory=${folder}`, "."];
  const tar = Bun.spawn(words, { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const complaint = new Response(tar.stderr).text();
  yield* tar.stdout;
  if ((await tar.exited) !== 0) throw new CommandError(`copy ${folder}: ${firstLine(await complaint)}`);
}

/** One file or link as a tar, under a name. */
export async function* fileTar(path: string, name: string, follow: boolean): AsyncGenerator<Uint8Array> {
  const stats = follow ? statSync(path) : lstatSync(path);
  const owner = { mode: stats.mode & 0o7777, uid: stats.uid, gid: stats.gid };
  const mtime = { seconds: Math.floor(stats.mtimeMs / 1000), nanos: 0 };
  if (stats.isSymbolicLink()) {
    const linkName = readlinkSync(path, { encoding: "buffer" }).toString("latin1");
    yield encodeHeader(plainEntry(byteString(name), 0, { ...owner, mtime, kind: "symlink", linkName }));
  } else {
    if (!stats.isFile()) throw new CommandError(`copy ${path}: it is no file, folder or link`);
    yield encodeHeader(plainEntry(byteString(name), stats.size, { ...owner, mtime }));
    yield* exactly(path, stats.size);
    yield paddingFor(stats.size);
  }
  yield endMark;
}

/** A folder's own member, with which what is in it follows in another archive. */
export async function* folderEntry(path: string, name: string): AsyncGenerator<Uint8Array> {
  const { mode, uid, gid, mtimeMs } = statSync(path);
  const mtime = { seconds: Math.floor(mtimeMs / 1000), nanos: 0 };
  const more = { kind: "directory", mode: mode & 0o7777, uid, gid, mtime } as const;
  yield encodeHeader(plainEntry(byteString(`${name}/`), 0, more));
  yield endMark;
}

export interface UntarOptions {
  /** Owners are those of the archive. */
  readonly owners: boolean;
  /** Leaves out the first part of names. */
  readonly stripFirst?: boolean;
}

/** Unpacks a tar into a folder that is there, by the system's tar, which lets no link lead out of it. */
export async function untar(
  folder: string,
  chunks: AsyncIterable<Uint8Array>,
  { owners, stripFirst = false }: UntarOptions,
): Promise<void> {
  const owner = owners ? ["--same-owner", "--numeric-owner"] : ["--no-same-owner"];
  const strip = stripFirst ? ["--strip-components=1"] : [];
  const words = ["tar", "--extract", "--file=-", "--same-permissions", ...owner, ...strip, `--directory=${folder}`];
  const tar = Bun.spawn(words, { stdin: "pipe", stdout: "ignore", stderr: "pipe" });
  const complaint = new Response(tar.stderr).text();
  try {
    for await (const bytes of chunks) {
      try {
        await tar.stdin.write(bytes);
        await tar.stdin.flush();
      } catch {
        // It ended early, and says why.
        break;
      }
    }
  } catch (error) {
    tar.kill("SIGKILL");
    await tar.exited;
    throw error;
  }
  try {
    await tar.stdin.end();
  } catch {
    // As above.
  }
  if ((await tar.exited) !== 0) throw new CommandError(`copy to ${folder}: ${firstLine(await complaint)}`);
}

/** Unpacks a tar of one file under another name; it is there whole or not at all. */
export async function untarAs(path: string, chunks: AsyncIterable<Uint8Array>, options: UntarOptions): Promise<void> {
  const folder = mkdtempSync(join(dirname(path), ".lighter-cp-"));
  try {
    await untar(folder, chunks, options);
    const [name] = readdirSync(folder);
    if (name === undefined) throw new CommandError(`copy to ${path}: nothing came`);
    renameSync(join(folder, name), path);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Makes a folder that is not there yet. Errors: CommandError. */
export function makeFolder(path: string): void {
  try {
    mkdirSync(path);
  } catch (error) {
    throw new CommandError(`copy to ${path}: ${messageOf(error)}`, { cause: error });
  }
}

/** So many bytes of a file, which may grow or shrink meanwhile. */
async function* exactly(path: string, sizeBytes: number): AsyncGenerator<Uint8Array> {
  let left = sizeBytes;
  for await (const bytes of Bun.file(path).stream()) {
    const piece = bytes.subarray(0, left);
    left -= piece.length;
    if (piece.length > 0) yield piece;
    if (left === 0) return;
  }
  if (left > 0) throw new CommandError(`copy ${path}: it became shorter while it was read`);
}

function firstLine(text: string): string {
  return text.trim().split("\n")[0] || "tar failed";
}
