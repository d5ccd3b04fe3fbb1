import { readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { CheckpointOptions } from "../../gen/containerd/runc/v1/oci_pb.ts";
import { FaultError, messageOf, quote } from "../../lib/faults.ts";
import { isErrno } from "../../sys/index.ts";
import type { ExternalFile } from "./external-files.ts";

/** What a restore must know of the checkpoint beside CRIU's images; a checkpoint of another program's has none. */
export interface RestoreNotes {
  readonly openTcp: boolean;
  readonly externalUnixSockets: boolean;
  readonly terminal: boolean;
  readonly fileLocks: boolean;
  readonly emptyNamespaces: readonly string[];
  readonly files: readonly ExternalFile[];
}

const fileName = "lighter.json";
const noNotes: RestoreNotes = {
  openTcp: false,
  externalUnixSockets: false,
  terminal: false,
  fileLocks: false,
  emptyNamespaces: [],
  files: [],
};

/** What a checkpoint with these options has to note. */
export function notesOf(options: CheckpointOptions, files: readonly ExternalFile[]): RestoreNotes {
  const { openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces } = options;
  return { openTcp, externalUnixSockets, terminal, fileLocks, emptyNamespaces, files };
}

/** Puts the notes beside the images. Effects: at once or not at all; the daemon takes them for the end of a checkpoint. */
export async function writeNotes(folder: string, notes: RestoreNotes): Promise<void> {
  const path = join(folder, fileName);
  await writeFile(`${path}.new`, JSON.stringify(notes), { mode: 0o600 });
  await rename(`${path}.new`, path);
}

/** Reads a checkpoint's notes, which may be anybody's. Errors: invalidArgument (they are not as `writeNotes` writes them). */
export async function readNotes(folder: string): Promise<RestoreNotes> {
  const path = join(folder, fileName);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (isErrno(error, "ENOENT")) return noNotes;
    throw error;
  }
  try {
    return checked(JSON.parse(text));
  } catch (error) {
    throw new FaultError("invalidArgument", `read ${quote(path)}: ${messageOf(error)}`, { cause: error });
  }
}

function checked(value: unknown): RestoreNotes {
  if (typeof value !== "object" || value === null) throw new TypeError("it is no object");
  const given = value as Readonly<Record<string, unknown>>;
  const flag = (name: string): boolean => given[name] === true;
  return {
    openTcp: flag("openTcp"),
    externalUnixSockets: flag("externalUnixSockets"),
    terminal: flag("terminal"),
    fileLocks: flag("fileLocks"),
    emptyNamespaces: listOf(given["emptyNamespaces"]).map(namespaceName),
    files: listOf(given["files"]).map(externalFile),
  };
}

function listOf(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (!Array.isArray(value)) throw new TypeError("a list is missing");
  return value;
}

/** A name that stands as a word on the runtime's command line and in CRIU's configuration. */
function namespaceName(value: unknown): string {
  if (typeof value !== "string" || !/^[a-z]+$/.test(value)) throw new TypeError("a name of a namespace is wrong");
  return value;
}

function externalFile(value: unknown): ExternalFile {
  const { key, stream } = typeof value === "object" && value !== null ? (value as Partial<ExternalFile>) : {};
  if (typeof key !== "string" || !/^file\[[0-9a-f]+:[0-9a-f]+\]$/.test(key)) throw new TypeError("a key is wrong");
  if (stream !== 0 && stream !== 1 && stream !== 2) throw new TypeError("a stream's number is wrong");
  return { key, stream };
}
