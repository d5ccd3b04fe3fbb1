import { closeSync, ftruncateSync, lstatSync, openSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { FaultError, invalidArgument, messageOf, notImplemented, quote } from "../../lib/faults.ts";
import { isErrno, type Kernel, type MountRequest } from "../../sys/index.ts";
import { placeWithin } from "./allowed-roots.ts";

const prefix = "X-containerd.mkfs.";

interface WantedFilesystem {
  readonly sizeBytes: number;
  readonly kind: string;
  readonly uuid: string;
}

/**
 * Makes the filesystem that options ask for in the file that is a mount's source, unless that is there, and takes the
 * options out: `X-containerd.mkfs.size=SIZE`, `fs=ext4|ext3|ext2|xfs`, `uuid=ID`.
 * Errors: invalidArgument, notImplemented (outside of the roots), unknown with what mkfs said.
 * Effects: the file takes its name when the filesystem is whole. Source: containerd core/mount/manager/mkfs.go.
 */
export function makeFilesystem(kernel: Kernel, roots: readonly string[], request: MountRequest): MountRequest {
  const { source } = request;
  using place = placeWithin(kernel, roots, source);
  if (place === undefined) throw notImplemented(`no root ${quote(source)} configured for mkfs`);
  const wanted = parseFilesystem(request.options.filter((option) => option.startsWith(prefix)));
  if (!exists(place.path)) createFilesystem(place.path, source, wanted);
  return { ...request, options: request.options.filter((option) => !option.startsWith(prefix)) };
}

function parseFilesystem(options: readonly string[]): WantedFilesystem {
  let [sizeBytes, kind, uuid] = [0, "ext4", ""];
  for (const option of options) {
    const [key, value] = splitOnce(option.slice(prefix.length));
    if (key === "size") sizeBytes = parseSize(value);
    else if (key === "fs") kind = value;
    else if (key === "uuid") uuid = value;
    else throw invalidArgument(`unknown mount option ${key}`);
  }
  if (sizeBytes === 0) throw invalidArgument("mkfs requires mkfs.size option");
  return { sizeBytes, kind, uuid };
}

function splitOnce(text: string): readonly [string, string] {
  const at = text.indexOf("=");
  return at < 0 ? [text, "true"] : [text.slice(0, at), text.slice(at + 1)];
}

/** A size with a binary unit. Source: docker go-units, RAMInBytes. */
function parseSize(text: string): number {
  const match = /^(\d+(?:\.\d+)?) ?([kmgtp])?i?b?$/i.exec(text);
  const bytes =
    match === null ? Number.NaN : Number(match[1]) * 1024 ** " kmgtp".indexOf(match[2]?.toLowerCase() ?? " ");
  if (!Number.isSafeInteger(Math.floor(bytes))) {
    throw new FaultError("unknown", `bad option size: invalid size: '${text}'`);
  }
  return Math.floor(bytes);
}

/** The command that formats a file. Errors: invalidArgument. */
function commandOf({ kind, uuid }: WantedFilesystem): readonly string[] {
  if (uuid !== "" && !/^[0-9A-Za-z-]+$/.test(uuid)) throw invalidArgument(`invalid uuid ${quote(uuid)}`);
  if (["ext2", "ext3", "ext4"].includes(kind)) return [`mkfs.${kind}`, "-q", ...(uuid === "" ? [] : ["-U", uuid])];
  if (kind === "xfs") return ["mkfs.xfs", "-q", ...(uuid === "" ? [] : ["-m", `uuid=${uuid}`])];
  throw invalidArgument(`unsupported filesystem ${quote(kind)}`);
}

function createFilesystem(path: string, shown: string, wanted: WantedFilesystem): void {
  const [program = "", ...args] = commandOf(wanted);
  const draft = join(dirname(path), `.${basename(path)}.mkfs-${crypto.randomUUID()}`);
  const fd = openSync(draft, "wx+", 0o640);
  try {
    ftruncateSync(fd, wanted.sizeBytes);
    const found = Bun.which(program, { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" });
    if (found === null) throw new FaultError("unknown", `exec: ${quote(program)}: executable file not found in $PATH`);
    const file = `/proc/${process.pid}/fd/${fd}`;
    const { exitCode, stdout, stderr } = Bun.spawnSync([found, ...args, file], { stdin: "ignore", cwd: "/" });
    if (exitCode !== 0)
      throw new FaultError("unknown", `${program} failed: ${String(stdout)}${String(stderr)}: exit status ${exitCode}`);
    renameSync(draft, path);
  } catch (error) {
    rmSync(draft, { force: true });
    throw new FaultError("unknown", `failed format ${quote(shown)}: ${messageOf(error)}`, { cause: error });
  } finally {
    closeSync(fd);
  }
}

function exists(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOENT")) return false;
    throw error;
  }
}
